"""What a protect writes into the rows of its checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from protectd.common.reports import SaveReport
from protectd.model.models import Checkpoint, CheckpointResource
from protectd.model.states import ResourceStatus, move
from protectd.model.unit_of_work import UnitOfWork
from protectd.plugin.base import ProtectContext, Resource
from protectd.plugin.outcomes import Outcome
from protectd.tasks.entities import issue_rows

HARMLESS = frozenset({"socket"})
"""Kinds of issues that take nothing from a checkpoint: sockets hold no data."""


def add_dependent(uow: UnitOfWork, checkpoint: Checkpoint, resource: Resource) -> CheckpointResource:
    """A resource that was found below one of the plan's."""
    row = CheckpointResource(
        checkpoint_id=checkpoint.id,
        resource_id=resource.id,
        resource_type=resource.type,
        resource_name=resource.name,
        extra_info=resource.extra_info,
        status=ResourceStatus.PROTECTING,
    )
    checkpoint.resources.append(row)
    uow.flush()
    return row


def keep(uow: UnitOfWork, row: CheckpointResource, outcome: Outcome) -> None:
    report = outcome.report
    if not isinstance(report, SaveReport) or not isinstance(outcome.context, ProtectContext):
        return
    info = dict(outcome.context.saved_info)
    move(
        uow.session,
        CheckpointResource,
        row.id,
        ResourceStatus.PROTECTING,
        ResourceStatus.AVAILABLE,
        snapshot_id=report.snapshot_id,
        tree_id=report.tree_id,
        source_path=info.get("path"),
        saved_info=info,
        files=report.files,
        directories=report.directories,
        logical_bytes=report.logical_bytes,
        added_bytes=report.added_bytes,
        stored_bytes=report.stored_bytes,
        issue_count=report.issue_count,
        issues=issue_rows(report.issues),
    )


def reports_of(outcomes: Sequence[Outcome]) -> list[SaveReport]:
    return [outcome.report for outcome in outcomes if isinstance(outcome.report, SaveReport)]


def is_partial(report: SaveReport) -> bool:
    """Whether something that was to be saved is not in it as it was, or may not be."""
    unseen = report.issue_count > len(report.issues)
    return unseen or any(issue.kind not in HARMLESS for issue in report.issues)


def sums(reports: Sequence[SaveReport]) -> dict[str, Any]:
    return {
        "files": sum(report.files for report in reports),
        "logical_bytes": sum(report.logical_bytes for report in reports),
        "added_bytes": sum(report.added_bytes for report in reports),
        "stored_bytes": sum(report.stored_bytes for report in reports),
    }
