"""A verification: how deep it went, and what it found."""

from __future__ import annotations

from typing import Any

from protectd.api.views import runs
from protectd.api.views.common import progress, simulated
from protectd.model.models import Task, Verification


def brief(verification: Verification) -> dict[str, Any]:
    return {
        "id": verification.id,
        **runs.brief(verification),
        "depth": verification.depth,
        "read_bytes": verification.read_bytes,
        "recovery_s": verification.recovery_s,
    }


def detail(verification: Verification, task: Task | None) -> dict[str, Any]:
    return brief(verification) | {
        "progress": progress(task),
        "errors": verification.errors,
        "report": verification.report,
        "warnings": verification.issues,
        **simulated(task),
    }
