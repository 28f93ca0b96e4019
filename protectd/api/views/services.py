"""A daemon: whether it lives, and whether it may work."""

from __future__ import annotations

from typing import Any

from protectd.api.views.common import moment
from protectd.domain.services import DISABLED, ENABLED
from protectd.model.models import Service


def detail(service: Service, up: bool) -> dict[str, Any]:
    return {
        "id": service.id,
        "binary": service.binary,
        "host": service.host,
        "topic": service.topic,
        "status": DISABLED if service.disabled else ENABLED,
        "state": "up" if up else "down",
        "disabled_reason": service.disabled_reason,
        "report_count": service.report_count,
        "rpc_current_version": service.rpc_current_version,
        "rpc_available_version": service.rpc_available_version,
        "created_at": moment(service.created_at),
        "updated_at": moment(service.updated_at),
        "modified_at": moment(service.modified_at),
    }
