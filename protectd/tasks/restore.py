"""Restore: write a checkpoint's data back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from protectd.common.progress import Progress
from protectd.common.reports import RestoreReport
from protectd.domain import parameters
from protectd.domain.providers import Provider
from protectd.domain.restores import PATH
from protectd.model.models import Restore
from protectd.model.states import ResourceStatus
from protectd.model.unit_of_work import UnitOfWork
from protectd.plugin.base import RestoreContext
from protectd.plugin.outcomes import Job, NothingReported, Outcome
from protectd.tasks.entities import access_of, issue_rows, protection_of
from protectd.tasks.env import OpenVault
from protectd.tasks.errors import RestoreIncomplete
from protectd.tasks.run import Run
from protectd.tasks.saved import Saved, SavedDataTask, SavedFacts
from protectd.vault.issues import MISSING

NAMED = 5
"""How many damaged entries an error names; the restore's issues have the others."""


class RestoreCheckpoint(SavedDataTask[Restore]):
    """A repeated attempt knows by its marks which targets an earlier one has begun to fill."""

    operation = "restore"
    kind = "restore"
    model = Restore
    working_word = ResourceStatus.RESTORING

    def retrieve_entity(self, uow: UnitOfWork, entity_id: str) -> Restore:
        return uow.restores.get(entity_id, lock=True)

    def wanted_of(self, entity: Restore, saved: dict[str, Saved]) -> dict[str, Saved]:
        chosen = entity.chosen
        return saved if chosen is None else {key: each for key, each in saved.items() if key in chosen}

    def make_job(
        self, run: Run, provider: Provider, vault: OpenVault, saved: Saved, progress: Progress
    ) -> Job:
        context = self.context_of(run, provider, vault, saved, progress)
        return Job(protection_of(provider, saved.resource).restore(context), context)

    def context_of(
        self, run: Run, provider: Provider, vault: OpenVault, saved: Saved, progress: Progress
    ) -> RestoreContext:
        facts: SavedFacts = run.facts
        resource = saved.resource
        return RestoreContext(
            request=run.context,
            resource=resource,
            parameters=parameters.overlay(
                facts.parameters, resource.type, resource.id, provider.restore_schemas.get(resource.type)
            ),
            access=access_of(provider, run),
            progress=progress,
            vault=vault,
            checkpoint_id=facts.checkpoint_id,
            snapshot_id=saved.snapshot_id,
            tree_id=saved.tree_id,
            saved_info=saved.info,
            target_name=resource.name if _shares_path(facts, saved) else None,
            paths=facts.paths.get(resource.key, ()),
            run_id=run.entity_id,
            marks=run.marks,
        )

    def judge(self, facts: SavedFacts, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """A file that could not be read back whole is missing, however well the rest went."""
        return [_judged(outcome, facts) for outcome in outcomes]

    def figures(self, outcomes: Sequence[Outcome]) -> dict[str, Any]:
        reports = _reports(outcomes)
        return {
            "files": sum(report.files for report in reports),
            "written_bytes": sum(report.written_bytes for report in reports),
            "issue_count": sum(report.issue_count for report in reports),
            "issues": issue_rows(issue for report in reports for issue in report.issues),
        }


def _judged(outcome: Outcome, facts: SavedFacts) -> Outcome:
    if not outcome.ok:
        return outcome
    key, report = outcome.resource.key, outcome.report
    if not isinstance(report, RestoreReport):
        return replace(outcome, error=NothingReported(resource=key))
    missing = [issue.path for issue in report.issues if issue.kind in MISSING]
    unseen = report.issue_count > len(report.issues) and not facts.paths.get(key)
    fewer = facts.saved[key].files - report.files if unseen else 0
    count = max(len(missing), report.missing_count, fewer)
    if count <= 0:
        return outcome
    names = ", ".join(missing[:NAMED]) + (", ..." if count > NAMED else "")
    return replace(outcome, error=RestoreIncomplete(count=count, resource=key, names=names))


def _reports(outcomes: Sequence[Outcome]) -> list[RestoreReport]:
    return [outcome.report for outcome in outcomes if isinstance(outcome.report, RestoreReport)]


def _shares_path(facts: SavedFacts, saved: Saved) -> bool:
    """Whether a path that was given for the type has to hold several resources."""
    sharing = Counter(each.resource.type for each in facts.saved.values() if _has_path_of_type(facts, each))
    return _has_path_of_type(facts, saved) and sharing[saved.resource.type] > 1


def _has_path_of_type(facts: SavedFacts, saved: Saved) -> bool:
    own = facts.parameters.get(saved.resource.key, {})
    return PATH in facts.parameters.get(saved.resource.type, {}) and PATH not in own
