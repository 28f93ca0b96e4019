"""What a protect writes into the rows of its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from protectd.common.reports import SaveReport
from protectd.domain import manifests
from protectd.domain.manifests import Manifest
from protectd.model.models import Checkpoint, CheckpointResource
from protectd.model.states import ResourceStatus, move
from protectd.model.unit_of_work import UnitOfWork
from protectd.plugin.base import ProtectContext, Resource
from protectd.plugin.graph import Graph
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
    values = saved(report, outcome.context)
    move(
        uow.session,
        CheckpointResource,
        row.id,
        ResourceStatus.PROTECTING,
        ResourceStatus.AVAILABLE,
        **values,
    )


def saved(report: SaveReport, context: ProtectContext) -> dict[str, Any]:
    """By the names of `manifests.SAVED`."""
    info = dict(context.saved_info)
    return {
        "snapshot_id": report.snapshot_id,
        "tree_id": report.tree_id,
        "source_path": info.get("path"),
        "saved_info": info,
        "files": report.files,
        "directories": report.directories,
        "logical_bytes": report.logical_bytes,
        "added_bytes": report.added_bytes,
        "stored_bytes": report.stored_bytes,
        "issue_count": report.issue_count,
        "issues": issue_rows(report.issues),
    }


def described(
    asked_for: Mapping[str, Any], graph: Graph, outcomes: Sequence[Outcome], ended_at: datetime
) -> Manifest:
    """What is to be known of a checkpoint when all of it is saved."""
    reports = reports_of(outcomes)
    parts = [
        manifests.part(
            outcome.resource.id,
            outcome.resource.type,
            outcome.resource.name,
            outcome.resource.extra_info,
            saved(outcome.report, outcome.context),
        )
        for outcome in outcomes
        if isinstance(outcome.report, SaveReport) and isinstance(outcome.context, ProtectContext)
    ]
    end = manifests.came_of_it(ended_at, graph.to_json(), any(map(is_partial, reports)), sums(reports))
    return Manifest({**asked_for, **end}, parts)


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
