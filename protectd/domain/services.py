"""Daemons: which of them live, and which an operator lets work."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from protectd.common.errors import InvalidField
from protectd.model.models import Service
from protectd.model.unit_of_work import UnitOfWork

ENABLED = "enabled"
DISABLED = "disabled"


def is_up(service: Service, now: datetime, down_time_s: float) -> bool:
    """Whether its last heartbeat is young enough."""
    return now - service.updated_at <= timedelta(seconds=down_time_s)


def update(uow: UnitOfWork, service: Service, wanted: Mapping[str, Any], now: datetime) -> None:
    """Let it take work, or none from now on; what it has begun it ends.

    :raises InvalidField: a reason for what needs none.
    """
    disabled, reason = wanted["status"] == DISABLED, wanted.get("disabled_reason")
    if reason is not None and not disabled:
        raise InvalidField(field="disabled_reason", reason=f"goes with the status {DISABLED} only")
    uow.services.set_disabled(service, disabled, reason, now)
