"""Answers of /operation_logs."""

from __future__ import annotations

from protectd.api.schemas.common import (
    COUNT,
    MAYBE_ID,
    MAYBE_MOMENT,
    MAYBE_STRING,
    MOMENT,
    PROGRESS,
    SIMULATED,
    STRING,
    UUID,
    page_of,
    shape,
    wrapped,
)

KEY = "operation_log"

LOG = shape(
    {
        "id": UUID,
        "operation_type": STRING,
        "checkpoint_id": MAYBE_ID,
        "plan_id": MAYBE_ID,
        "provider_id": MAYBE_ID,
        "restore_id": MAYBE_ID,
        "verification_id": MAYBE_ID,
        "scheduled_operation_id": MAYBE_ID,
        "status": STRING,
        "started_at": MAYBE_MOMENT,
        "ended_at": MAYBE_MOMENT,
        "error_info": MAYBE_STRING,
        "error_code": MAYBE_STRING,
        "extra_info": {"type": "null"},
        "attempts": COUNT,
        "next_attempt_at": MAYBE_MOMENT,
        "cancel_requested_at": MAYBE_MOMENT,
        "progress": PROGRESS,
        "project_id": STRING,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "simulated": SIMULATED,
    },
    ["simulated"],
)

ONE = wrapped(KEY, LOG)
PAGE = page_of("operation_logs", LOG)
