"""What restores and verifications have in common."""

from __future__ import annotations

from typing import Any

from protectd.api.views.common import error, moment
from protectd.model.models.runs import CheckpointRun


def brief(run: CheckpointRun) -> dict[str, Any]:
    return {
        "project_id": run.project_id,
        "provider_id": run.provider_id,
        "checkpoint_id": run.checkpoint_id,
        "parameters": run.parameters,
        "status": run.status,
        "resources_status": run.resources_status,
        "resources_reason": run.resources_reason,
        "error": error(run),
        "files": run.files,
        "issue_count": run.issue_count,
        "created_at": moment(run.created_at),
        "updated_at": moment(run.updated_at),
        "started_at": moment(run.started_at),
        "ended_at": moment(run.ended_at),
    }
