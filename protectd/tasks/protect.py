"""Protect: from a PENDING checkpoint to an available one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from protectd.common.progress import Progress
from protectd.domain import describing, expiry, manifests, parameters
from protectd.domain.providers import Provider
from protectd.domain.submission import Submission
from protectd.model.models import Checkpoint, ScheduledOperation
from protectd.model.states import CheckpointStatus
from protectd.model.unit_of_work import UnitOfWork
from protectd.plugin import runner
from protectd.plugin.base import ProtectContext, Resource
from protectd.plugin.graph import Graph
from protectd.plugin.outcomes import Job, Outcome
from protectd.tasks.entities import access_of, plugin_resource, protection_of, reasons
from protectd.tasks.env import OpenVault
from protectd.tasks.making import MakeCheckpoint, MakingFacts
from protectd.tasks.run import Run
from protectd.tasks.saving import add_dependent, described, is_partial, keep, reports_of, sums
from protectd.vault.notes import Notes


@dataclass
class ProtectFacts(MakingFacts):
    """:ivar previous: snapshot of each resource in the newest available checkpoint of the plan.
    :ivar asked_for: how its manifest begins.
    :ivar retention: the scheduled operation whose retention is due now.
    """

    resources: list[Resource]
    parameters: parameters.Parameters
    previous: Mapping[str, str]
    asked_for: Mapping[str, Any] = field(default_factory=dict)
    graph: Graph | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    retention: ScheduledOperation | None = None

    @property
    def made(self) -> Collection[str]:
        return {report.snapshot_id for report in reports_of(self.outcomes)}

    @property
    def why(self) -> Mapping[str, str]:
        return reasons(self.outcomes)


class ProtectCheckpoint(MakeCheckpoint):
    operation = "protect"
    waiting_word = CheckpointStatus.PENDING
    making_word = CheckpointStatus.PROTECTING

    def facts_of(self, uow: UnitOfWork, checkpoint: Checkpoint) -> ProtectFacts:
        chosen = uow.plans.parameters(checkpoint.plan_id)
        return ProtectFacts(
            resources=[plugin_resource(row) for row in checkpoint.resources],
            parameters=chosen,
            previous=self.previous_of(uow, checkpoint),
            asked_for=manifests.asked_for(checkpoint, chosen),
        )

    def make(self, vault: OpenVault, provider: Provider, run: Run) -> None:
        facts: ProtectFacts = run.facts
        facts.graph = self.env.protectables.graph(facts.resources)
        facts.outcomes = runner.run(
            facts.graph,
            lambda resource, progress: self._job(run, provider, vault, resource, progress),
            run.progress,
        )

    def describe(self, notes: Notes, run: Run) -> str:
        facts: ProtectFacts = run.facts
        error = runner.first_error(facts.outcomes)
        if error is not None:
            raise error
        assert facts.graph is not None and facts.ended_at is not None
        manifest = described(facts.asked_for, facts.graph, facts.outcomes, facts.ended_at)
        return describing.write(notes, manifest, run.attempt_id)

    def record(self, uow: UnitOfWork, checkpoint: Checkpoint, run: Run) -> dict[str, Any]:
        facts: ProtectFacts = run.facts
        rows = {row.key: row for row in checkpoint.resources}
        for outcome in facts.outcomes:
            row = rows.get(outcome.resource.key) or add_dependent(uow, checkpoint, outcome.resource)
            keep(uow, row, outcome)
        reports = reports_of(facts.outcomes)
        return {
            "resource_graph": facts.graph.to_json() if facts.graph else None,
            "partial": any(map(is_partial, reports)),
            **sums(reports),
        }

    def handle_success(self, uow: UnitOfWork, checkpoint: Checkpoint, run: Run) -> None:
        super().handle_success(uow, checkpoint, run)
        run.facts.retention = expiry.wanted_after(uow, checkpoint)

    def submit_follow_ons(self, submission: Submission, run: Run) -> None:
        if run.facts.retention is not None:
            submission.process_retain(run.facts.retention)

    def previous_of(self, uow: UnitOfWork, checkpoint: Checkpoint) -> dict[str, str]:
        """What each resource is compared with, by `type#id`."""
        find, plan_id = uow.checkpoints.newest_snapshot, checkpoint.plan_id
        found = {row.key: find(plan_id, row.resource_type, row.resource_id) for row in checkpoint.resources}
        return {key: snapshot_id for key, snapshot_id in found.items() if snapshot_id}

    def _job(
        self, run: Run, provider: Provider, vault: OpenVault, resource: Resource, progress: Progress
    ) -> Job:
        facts: ProtectFacts = run.facts
        context = ProtectContext(
            request=run.context,
            resource=resource,
            parameters=parameters.overlay(
                facts.parameters, resource.type, resource.id, provider.options_schemas.get(resource.type)
            ),
            access=access_of(provider, run),
            progress=progress,
            vault=vault,
            checkpoint_id=run.entity_id,
            attempt=run.attempt_id,
            previous_snapshot_id=facts.previous.get(resource.key),
        )
        return Job(protection_of(provider, resource).protect(context), context)
