"""A checkpoint: the contract's fields, some of them JSON in a string, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from protectd.api.views import holds
from protectd.api.views.common import error, moment, progress, simulated
from protectd.domain.verifications import strongest
from protectd.model.models import Checkpoint, CheckpointResource, Task

Proven = Mapping[str, datetime]
"""When each depth was last proven."""

NOTHING: Proven = {}


def brief(checkpoint: Checkpoint, proven: Proven = NOTHING) -> dict[str, Any]:
    """One entry of a list. `resource_graph` is left out while there is none: a client decodes it."""
    depth, at = strongest(proven) or (None, None)
    shown: dict[str, Any] = {
        "id": checkpoint.id,
        "project_id": checkpoint.project_id,
        "status": checkpoint.status,
        "protection_plan": _plan(checkpoint.plan_json),
        "extra_info": _text(checkpoint.extra_info),
        "created_at": moment(checkpoint.created_at),
        "updated_at": moment(checkpoint.updated_at),
        "started_at": moment(checkpoint.started_at),
        "ended_at": moment(checkpoint.ended_at),
        "partial": checkpoint.partial,
        "error": error(checkpoint),
        "files": checkpoint.files,
        "logical_bytes": checkpoint.logical_bytes,
        "added_bytes": checkpoint.added_bytes,
        "stored_bytes": checkpoint.stored_bytes,
        "issue_count": sum(resource.issue_count for resource in checkpoint.resources),
        "scheduled_operation_id": checkpoint.scheduled_operation_id,
        "source_id": checkpoint.source_id,
        "hold": holds.detail(checkpoint),
        "verified_at": moment(checkpoint.verified_at),
        "verified_depth": checkpoint.verified_depth,
        "proven_depth": depth,
        "proven_at": moment(at),
        "proven_recovery_s": checkpoint.proven_recovery_s,
    }
    if checkpoint.resource_graph is not None:
        shown["resource_graph"] = _text(checkpoint.resource_graph)
    return shown


def detail(checkpoint: Checkpoint, task: Task | None, proven: Proven = NOTHING) -> dict[str, Any]:
    """:param task: the newest one of this checkpoint."""
    return brief(checkpoint, proven) | {
        "progress": progress(task),
        "resources": [_resource(resource) for resource in checkpoint.resources],
        "warnings": [
            {"resource": resource.key, **issue}
            for resource in checkpoint.resources
            for issue in resource.issues
        ],
        **simulated(task),
    }


def _plan(frozen: Mapping[str, Any]) -> dict[str, Any]:
    resources = [
        {**resource, "extra_info": _text(resource["extra_info"])} if "extra_info" in resource else resource
        for resource in frozen["resources"]
    ]
    return {**frozen, "resources": resources}


def _text(value: Any) -> str | None:
    """The contract wants JSON in a string here."""
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _resource(resource: CheckpointResource) -> dict[str, Any]:
    return {
        "id": resource.resource_id,
        "type": resource.resource_type,
        "name": resource.resource_name,
        "status": resource.status,
        "reason": resource.reason,
        "snapshot_id": resource.snapshot_id,
        "files": resource.files,
        "directories": resource.directories,
        "logical_bytes": resource.logical_bytes,
        "added_bytes": resource.added_bytes,
        "stored_bytes": resource.stored_bytes,
        "issue_count": resource.issue_count,
    }
