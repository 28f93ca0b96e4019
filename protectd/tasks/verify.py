"""Verify: read a checkpoint's data and compare it with what it is called; or restore it and look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from protectd.common.errors import ProtectdError
from protectd.common.progress import Progress
from protectd.common.reports import CheckReport
from protectd.domain import parameters, verifications
from protectd.domain.providers import Provider
from protectd.model.models import Verification
from protectd.model.models.verifications import DATA, RESTORE
from protectd.model.unit_of_work import UnitOfWork
from protectd.plugin import runner
from protectd.plugin.base import Resource, VerifyContext
from protectd.plugin.outcomes import DataDamaged, Job, Outcome
from protectd.tasks.drill import Drill, Part
from protectd.tasks.entities import access_of, protection_of, provider_of
from protectd.tasks.env import OpenVault
from protectd.tasks.run import Run
from protectd.tasks.saved import Saved, SavedDataTask, SavedFacts
from protectd.tasks.scratch import ScratchUnusable
from protectd.vault.errors import SnapshotNotFound, VaultDamaged
from protectd.vault.issues import MAX_KEPT

MAX_ERRORS = 1000
DAMAGES = (VaultDamaged, SnapshotNotFound)
"""What is raised where something that was stored is not there, or not as it was."""


@dataclass
class Proof:
    """What a verification has found beside its outcomes. :ivar at: when all had been looked at."""

    drill: Drill | None = None
    at: datetime | None = None


@dataclass
class VerifyFacts(SavedFacts):
    """Of a run and not of the task that does it: one may begin what another works on and ends."""

    proof: Proof = field(default_factory=Proof)


class VerifyCheckpoint(SavedDataTask[Verification]):
    """Depth `data` reads every byte, fresh from the bank; `structure` what says where they are; `restore`
    writes all of it to a scratch place of this host, and compares that with what was recorded."""

    operation = "verify"
    kind = "verification"
    model = Verification
    facts = VerifyFacts
    working_word = "verifying"

    def retrieve_entity(self, uow: UnitOfWork, entity_id: str) -> Verification:
        return uow.verifications.get(entity_id, lock=True)

    def handle_processing(self, run: Run) -> None:
        try:
            if run.facts.depth == RESTORE:
                self._drill(run)
            else:
                super().handle_processing(run)
        except DAMAGES as error:
            self._condemn(run.facts, error)
        run.facts.proof.at = self.env.clock.now()

    def judge(self, facts: SavedFacts, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Damage that keeps a check from going on is damage like that which it reports."""
        return [
            replace(outcome, error=_damage(outcome.resource, outcome.error))
            if isinstance(outcome.error, DAMAGES)
            else outcome
            for outcome in outcomes
        ]

    def handle_success(self, uow: UnitOfWork, entity: Verification, run: Run) -> None:
        super().handle_success(uow, entity, run)
        proof = run.facts.proof
        if proof.at is not None:
            recovery_s = proof.drill.recovery_s if proof.drill else None
            verifications.prove(uow, entity, proof.at, recovery_s)

    def make_job(
        self, run: Run, provider: Provider, vault: OpenVault, saved: Saved, progress: Progress
    ) -> Job:
        context = self._context(run, provider, vault, saved, progress)
        return Job(protection_of(provider, saved.resource).verify(context), context)

    def figures(self, outcomes: Sequence[Outcome]) -> dict[str, Any]:
        reports = [outcome.report for outcome in outcomes if isinstance(outcome.report, CheckReport)]
        errors = [error for report in reports for error in (*report.errors, *report.unread)]
        return {
            "read_bytes": sum(report.read_bytes for report in reports),
            "errors": errors[:MAX_ERRORS],
            "issue_count": len(errors),
        }

    def told(self, run: Run) -> dict[str, Any]:
        drill = run.facts.proof.drill
        if drill is None:
            return {"report": _checked(run.facts.outcomes)}
        return {
            "report": drill.report(),
            "recovery_s": drill.recovery_s,
            "files": drill.files,
            "issues": drill.issues()[:MAX_KEPT],
        }

    def _context(
        self, run: Run, provider: Provider, vault: OpenVault, saved: Saved, progress: Progress
    ) -> VerifyContext:
        facts: SavedFacts = run.facts
        resource = saved.resource
        return VerifyContext(
            request=run.context,
            resource=resource,
            parameters=parameters.overlay(
                facts.parameters, resource.type, resource.id, provider.verify_schemas.get(resource.type)
            ),
            access=access_of(provider, run),
            progress=progress,
            vault=vault,
            checkpoint_id=facts.checkpoint_id,
            snapshot_id=saved.snapshot_id,
            tree_id=saved.tree_id,
            read_data=facts.depth == DATA,
        )

    def _condemn(self, facts: SavedFacts, error: ProtectdError) -> None:
        """The vault does not even open, or does not say what is in it. :raises DataDamaged: always."""
        facts.outcomes = [
            Outcome(saved.resource, None, _damage(saved.resource, error)) for saved in facts.saved.values()
        ]
        decides = runner.first_error(facts.outcomes)
        assert decides is not None
        raise decides from error

    def _drill(self, run: Run) -> None:
        """:raises ScratchUnusable: this host has no place for drills. :raises NoSpace: it is too small."""
        if self.env.scratch is None:
            raise ScratchUnusable(reason="there is none")
        facts: SavedFacts = run.facts
        provider, saved = provider_of(self.env, run), facts.saved.values()
        with (
            self.env.scratch.room(
                run.attempt_id,
                data_bytes=sum(each.data_bytes for each in saved),
                entries=sum(each.entries for each in saved),
            ) as room,
            self.env.vaults.session(provider, run.context.project_id) as vault,
        ):
            parts = [
                self._part(run, provider, vault, each, room / str(number))
                for number, each in enumerate(saved)
            ]
            drill = run.facts.proof.drill = Drill(vault, parts, self.env.clock.monotonic)
            facts.outcomes = self.judge(facts, drill.run(run.progress))
        error = runner.first_error(facts.outcomes)
        if error is not None:
            raise error

    def _part(self, run: Run, provider: Provider, vault: OpenVault, saved: Saved, target: Path) -> Part:
        context = self._context(run, provider, vault, saved, run.progress)
        return Part(context, protection_of(provider, saved.resource), target)


def _damage(resource: Resource, error: ProtectdError) -> DataDamaged:
    return DataDamaged(resource=resource.key, count=1, first=str(error))


def _checked(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What was looked at, resource by resource."""
    return {
        "resources": {
            outcome.resource.key: {
                name: value
                for name, value in asdict(outcome.report).items()
                if name in ("snapshots", "packs", "blobs", "read_bytes")
            }
            | {"errors": [*outcome.report.errors, *outcome.report.unread][:MAX_ERRORS]}
            for outcome in outcomes
            if isinstance(outcome.report, CheckReport)
        }
    }
