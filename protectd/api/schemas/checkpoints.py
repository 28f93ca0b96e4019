"""Bodies and answers of /providers/{provider_id}/checkpoints."""

from __future__ import annotations

from protectd.api.schemas import holds
from protectd.api.schemas.common import (
    COUNT,
    ERROR,
    FLAG,
    MAYBE_ID,
    MAYBE_MOMENT,
    MAYBE_SECONDS,
    MAYBE_STRING,
    METADATA,
    MOMENT,
    PROGRESS,
    SIMULATED,
    STRING,
    UUID,
    Schema,
    array,
    closed,
    page_of,
    shape,
    wrapped,
)

KEY = "checkpoint"

CREATE = wrapped(KEY, closed({"plan_id": UUID, "extra-info": METADATA, "extra_info": METADATA}, ["plan_id"]))
"""Clients write `extra-info`, the documentation of the contract `extra_info`."""

JSON_TEXT: Schema = MAYBE_STRING | {"contentMediaType": "application/json"}

PLAN: Schema = shape(
    {
        "id": UUID,
        "name": STRING,
        "provider_id": UUID,
        "resources": array(
            shape({"id": STRING, "type": STRING, "name": STRING, "extra_info": JSON_TEXT}, ["extra_info"])
        ),
    }
)
"""The plan as it was when the checkpoint was asked for."""

_BRIEF: Schema = {
    "id": UUID,
    "project_id": STRING,
    "status": STRING,
    "protection_plan": PLAN,
    "resource_graph": JSON_TEXT,
    "extra_info": JSON_TEXT,
    "created_at": MOMENT,
    "updated_at": MOMENT,
    "started_at": MAYBE_MOMENT,
    "ended_at": MAYBE_MOMENT,
    "partial": FLAG,
    "error": ERROR,
    "files": COUNT,
    "logical_bytes": COUNT,
    "added_bytes": COUNT,
    "stored_bytes": COUNT,
    "issue_count": COUNT,
    "scheduled_operation_id": MAYBE_ID,
    "source_id": MAYBE_ID,
    "hold": holds.HOLD,
    "verified_at": MAYBE_MOMENT,
    "verified_depth": MAYBE_STRING,
    "proven_depth": MAYBE_STRING,
    "proven_at": MAYBE_MOMENT,
    "proven_recovery_s": MAYBE_SECONDS,
}

_RESOURCE: Schema = shape(
    {
        "id": STRING,
        "type": STRING,
        "name": STRING,
        "status": STRING,
        "reason": MAYBE_STRING,
        "snapshot_id": MAYBE_STRING,
        "files": COUNT,
        "directories": COUNT,
        "logical_bytes": COUNT,
        "added_bytes": COUNT,
        "stored_bytes": COUNT,
        "issue_count": COUNT,
    }
)

BRIEF = shape(_BRIEF, ["resource_graph"])

DETAIL = shape(
    _BRIEF
    | {
        "progress": PROGRESS,
        "resources": array(_RESOURCE),
        "warnings": array(shape({"resource": STRING, "path": STRING, "kind": STRING, "reason": STRING})),
        "simulated": SIMULATED,
    },
    ["resource_graph", "simulated"],
)

ONE = wrapped(KEY, DETAIL)
PAGE = page_of("checkpoints", BRIEF)

RESET_KEY = "os-resetState"

RESET = wrapped(RESET_KEY, closed({"state": {"enum": ["available", "error"]}}, ["state"]))
