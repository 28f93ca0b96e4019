"""Bodies and answers of /os-services. The contract wraps neither."""

from __future__ import annotations

from protectd.api.schemas.common import (
    COUNT,
    DESCRIPTION,
    MAYBE_MOMENT,
    MAYBE_STRING,
    MOMENT,
    STRING,
    Schema,
    array,
    closed,
    shape,
    wrapped,
)
from protectd.domain.providers import Protectables, Providers
from protectd.domain.services import DISABLED, ENABLED

KEY = "service"

UPDATE = closed({"status": {"enum": [ENABLED, DISABLED]}, "disabled_reason": DESCRIPTION}, ["status"])


def update_of(providers: Providers, protectables: Protectables) -> Schema:
    """UPDATE as it is meant: only for what is disabled there is a reason."""
    enabled = closed({"status": {"const": ENABLED}, "disabled_reason": {"type": "null"}}, ["status"])
    disabled = closed({"status": {"const": DISABLED}, "disabled_reason": DESCRIPTION}, ["status"])
    return {"anyOf": [enabled, disabled]}


SERVICE = shape(
    {
        "id": COUNT,
        "binary": STRING,
        "host": STRING,
        "topic": MAYBE_STRING,
        "status": {"enum": [ENABLED, DISABLED]},
        "state": {"enum": ["up", "down"]},
        "disabled_reason": MAYBE_STRING,
        "report_count": COUNT,
        "rpc_current_version": MAYBE_STRING,
        "rpc_available_version": MAYBE_STRING,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "modified_at": MAYBE_MOMENT,
    }
)

ONE = wrapped(KEY, SERVICE)
ALL = wrapped("services", array(SERVICE))
