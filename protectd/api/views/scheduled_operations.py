"""A scheduled operation: simple values of its definition are strings, as the contract has them."""

from __future__ import annotations

from typing import Any

from protectd.api.views.common import moment
from protectd.model.models import Occurrence, ScheduledOperation


def detail(operation: ScheduledOperation) -> dict[str, Any]:
    return {
        "id": operation.id,
        "name": operation.name,
        "description": operation.description,
        "operation_type": operation.operation_type,
        "trigger_id": operation.trigger_id,
        "operation_definition": {
            name: _said(value) for name, value in operation.operation_definition.items()
        },
        "enabled": operation.enabled,
        "project_id": operation.project_id,
        "created_at": moment(operation.created_at),
        "updated_at": moment(operation.updated_at),
    }


def with_runs(operation: ScheduledOperation, last: Occurrence | None, next_at: Any) -> dict[str, Any]:
    """With what came of its last time, and its next one; None where there is none."""
    return detail(operation) | {
        "last_occurrence": None if last is None else occurrence(last),
        "next_fire_time": moment(next_at) if operation.enabled else None,
    }


def occurrence(row: Occurrence) -> dict[str, Any]:
    return {
        "id": row.id,
        "scheduled_operation_id": row.scheduled_operation_id,
        "trigger_id": row.trigger_id,
        "expected_at": moment(row.expected_at),
        "decided_at": moment(row.decided_at),
        "outcome": row.outcome,
        "reason": row.reason,
        "entity_type": row.entity_type,
        "entity_id": row.entity_id,
    }


def _said(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value
