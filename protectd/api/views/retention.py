"""What retention says: a verdict for each checkpoint, and what the last run let go."""

from __future__ import annotations

from typing import Any

from protectd.api.views.common import moment
from protectd.domain.expiry import Review
from protectd.domain.plan_expiry import Judged, PlanReview
from protectd.domain.retention import Verdict
from protectd.model.models import Task

REMOVED = "removed "
"""How a mark of the task begins that names a checkpoint and the rules it has outlived."""


def detail(review: Review, last: Task | None) -> dict[str, Any]:
    return {
        **_rules(review),
        "checkpoints": [_verdict(each) for each in review.verdicts],
        "last_run": None if last is None else _run(last),
    }


def of_plan(review: PlanReview) -> dict[str, Any]:
    return {
        "operations": [
            {"scheduled_operation_id": operation.id, "name": operation.name, **_rules(of_one)}
            for operation, of_one in review.operations
        ],
        "checkpoints": [
            {**_verdict(each), "verdicts": [_said(*said) for said in each.verdicts]}
            for each in review.checkpoints
        ],
    }


def _rules(review: Review) -> dict[str, Any]:
    return {
        "rules": review.rules.shown(),
        "time_zone": getattr(review.zone, "key", "UTC"),
        "halted": review.halted,
        "error": None if review.error is None else {"code": review.error.code, "message": str(review.error)},
    }


def _verdict(verdict: Verdict | Judged) -> dict[str, Any]:
    return {
        "checkpoint_id": verdict.candidate.id,
        "provider_id": verdict.candidate.provider_id,
        "source_id": verdict.candidate.source_id,
        "taken_at": moment(verdict.candidate.taken_at),
        "action": verdict.action,
        "reasons": list(verdict.reasons),
        "partial": verdict.candidate.partial,
        "failed": verdict.candidate.failed,
        "damaged": verdict.candidate.damaged,
    }


def _said(operation_id: str, verdict: Verdict) -> dict[str, Any]:
    reasons = list(verdict.reasons)
    return {"scheduled_operation_id": operation_id, "action": verdict.action, "reasons": reasons}


def _run(task: Task) -> dict[str, Any]:
    marks = [mark.removeprefix(REMOVED) for mark in task.marks or () if mark.startswith(REMOVED)]
    return {
        "ended_at": moment(task.ended_at),
        "status": task.outcome or task.state,
        "removed": [_removed(*mark.split(" ", 1)) for mark in marks],
    }


def _removed(checkpoint_id: str, reasons: str) -> dict[str, Any]:
    return {"checkpoint_id": checkpoint_id, "reasons": reasons.split(",")}
