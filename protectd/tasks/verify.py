"""Verify: read a checkpoint's data and compare it with what it is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from protectd.common.progress import Progress
from protectd.common.reports import CheckReport
from protectd.domain import parameters
from protectd.domain.providers import Provider
from protectd.model.models import Verification
from protectd.model.unit_of_work import UnitOfWork
from protectd.plugin.base import VerifyContext
from protectd.plugin.outcomes import Job, Outcome
from protectd.tasks.entities import access_of, protection_of
from protectd.tasks.env import OpenVault
from protectd.tasks.run import Run
from protectd.tasks.saved import Saved, SavedDataTask, SavedFacts

MAX_ERRORS = 1000


class VerifyCheckpoint(SavedDataTask[Verification]):
    """Depth `data` reads every byte, fresh from the bank; `structure` what says where they are."""

    operation = "verify"
    kind = "verification"
    model = Verification
    working_word = "verifying"

    def retrieve_entity(self, uow: UnitOfWork, entity_id: str) -> Verification:
        return uow.verifications.get(entity_id, lock=True)

    def make_job(
        self, run: Run, provider: Provider, vault: OpenVault, saved: Saved, progress: Progress
    ) -> Job:
        facts: SavedFacts = run.facts
        resource = saved.resource
        context = VerifyContext(
            request=run.context,
            resource=resource,
            parameters=parameters.overlay(facts.parameters, resource.type, resource.id),
            access=access_of(provider, run),
            progress=progress,
            vault=vault,
            checkpoint_id=facts.checkpoint_id,
            snapshot_id=saved.snapshot_id,
            tree_id=saved.tree_id,
            read_data=facts.read_data,
        )
        return Job(protection_of(provider, resource).verify(context), context)

    def figures(self, outcomes: Sequence[Outcome]) -> dict[str, Any]:
        reports = [outcome.report for outcome in outcomes if isinstance(outcome.report, CheckReport)]
        errors = [error for report in reports for error in report.errors]
        return {
            "read_bytes": sum(report.read_bytes for report in reports),
            "errors": errors[:MAX_ERRORS],
            "issue_count": len(errors),
        }
