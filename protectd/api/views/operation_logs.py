"""What was done: a task in the words of the contract."""

from __future__ import annotations

from typing import Any

from protectd.api.views.common import moment, progress, simulated
from protectd.model.models import Task
from protectd.model.repositories.logged import logged_status
from protectd.model.states import TaskState


def detail(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "operation_type": task.operation,
        "checkpoint_id": task.checkpoint_id,
        "plan_id": task.plan_id,
        "provider_id": task.provider_id,
        "restore_id": task.restore_id,
        "verification_id": task.verification_id,
        "scheduled_operation_id": task.scheduled_operation_id,
        "status": logged_status(task),
        "started_at": moment(task.started_at),
        "ended_at": moment(task.ended_at),
        "error_info": task.error_message,
        "error_code": task.error_code,
        "extra_info": None,
        "attempts": task.attempts,
        "next_attempt_at": moment(task.not_before) if task.state == TaskState.PENDING else None,
        "cancel_requested_at": moment(task.cancel_requested_at),
        "progress": progress(task),
        "project_id": task.project_id,
        "created_at": moment(task.created_at),
        "updated_at": moment(task.updated_at),
        **simulated(task),
    }
