"""A restore. Credentials are neither kept nor shown."""

from __future__ import annotations

from typing import Any

from protectd.api.views import runs
from protectd.api.views.common import progress, simulated
from protectd.model.models import Restore, Task


def brief(restore: Restore) -> dict[str, Any]:
    return {
        "id": restore.id,
        **runs.brief(restore),
        "restore_target": restore.restore_target or None,
        "trusted": restore.trusted,
        "dry_run": restore.dry_run,
        "chosen": restore.chosen,
        "written_bytes": restore.written_bytes,
    }


def detail(restore: Restore, task: Task | None) -> dict[str, Any]:
    """:param task: the newest one of this restore."""
    return brief(restore) | {
        "progress": progress(task),
        "warnings": restore.issues,
        "report": restore.report,
        **simulated(task),
    }
