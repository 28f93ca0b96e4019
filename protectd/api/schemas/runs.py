"""What the answers of restores and verifications have in common."""

from __future__ import annotations

from protectd.api.schemas.common import (
    COUNT,
    ERROR,
    MAYBE_MOMENT,
    MOMENT,
    OBJECT,
    STRING,
    UUID,
    Schema,
    words_to,
)

RUN: Schema = {
    "id": UUID,
    "project_id": STRING,
    "provider_id": UUID,
    "checkpoint_id": UUID,
    "parameters": OBJECT,
    "status": STRING,
    "resources_status": words_to(STRING),
    "resources_reason": words_to(STRING),
    "error": ERROR,
    "files": COUNT,
    "issue_count": COUNT,
    "created_at": MOMENT,
    "updated_at": MOMENT,
    "started_at": MAYBE_MOMENT,
    "ended_at": MAYBE_MOMENT,
}
