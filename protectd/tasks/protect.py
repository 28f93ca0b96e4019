"""Protect: from a PENDING checkpoint to an available one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from protectd.common.errors import ProtectdError
from protectd.common.progress import Progress
from protectd.domain import describing, expiry, manifests, parameters, quota
from protectd.domain.providers import Provider
from protectd.domain.submission import Submission
from protectd.model.models import Checkpoint, CheckpointResource, ScheduledOperation
from protectd.model.states import CheckpointStatus, ResourceStatus, move
from protectd.model.unit_of_work import UnitOfWork
from protectd.plugin import runner
from protectd.plugin.base import ProtectContext, Resource
from protectd.plugin.graph import Graph
from protectd.plugin.outcomes import Job, Outcome
from protectd.tasks.base import BaseTask
from protectd.tasks.entities import (
    access_of,
    fail_resources,
    plugin_resource,
    protection_of,
    provider_of,
    reasons,
)
from protectd.tasks.env import OpenVault
from protectd.tasks.errors import EntityNotReady
from protectd.tasks.run import Run
from protectd.tasks.saving import add_dependent, described, is_partial, keep, reports_of, sums
from protectd.tasks.snapshots import forget_checkpoint, forget_lost, taken_back

LOG = logging.getLogger(__name__)

UNFINISHED = (ResourceStatus.PENDING, ResourceStatus.PROTECTING)


@dataclass
class ProtectFacts:
    """:ivar repeated: an earlier attempt may have left snapshots.
    :ivar previous: snapshot of each resource in the newest available checkpoint of the plan.
    :ivar asked_for: how its manifest begins.
    :ivar retention: the scheduled operation whose retention is due now.
    :ivar ended_at: when all was saved. :ivar manifest_id: of the snapshot that describes it.
    """

    resources: list[Resource]
    parameters: parameters.Parameters
    previous: Mapping[str, str]
    repeated: bool
    asked_for: Mapping[str, Any] = field(default_factory=dict)
    graph: Graph | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    ended_at: datetime | None = None
    manifest_id: str | None = None
    retention: ScheduledOperation | None = None


class ProtectCheckpoint(BaseTask[Checkpoint]):
    operation = "protect"
    kind = "checkpoint"
    success_word = CheckpointStatus.AVAILABLE
    failure_word = CheckpointStatus.ERROR

    def retrieve_entity(self, uow: UnitOfWork, entity_id: str) -> Checkpoint:
        return uow.checkpoints.get(entity_id, lock=True)

    def handle_begin(self, uow: UnitOfWork, checkpoint: Checkpoint, run: Run) -> None:
        repeated = checkpoint.status == CheckpointStatus.PROTECTING
        if not repeated and not self._start(uow, checkpoint):
            raise EntityNotReady(
                kind=self.kind, id=checkpoint.id, status=checkpoint.status, expected=CheckpointStatus.PENDING
            )
        chosen = uow.plans.parameters(checkpoint.plan_id)
        run.facts = ProtectFacts(
            resources=[plugin_resource(row) for row in checkpoint.resources],
            parameters=chosen,
            previous=self.previous_of(uow, checkpoint),
            repeated=repeated,
            asked_for=manifests.asked_for(checkpoint, chosen),
        )

    def handle_processing(self, run: Run) -> None:
        """Snapshots first, then what describes them, rows later: what breaks off here leaves rubbish in the
        vault, never a lie."""
        facts: ProtectFacts = run.facts
        provider = provider_of(self.env, run)
        facts.graph = self.env.protectables.graph(facts.resources)
        with (
            self.env.vaults.session(provider, run.context.project_id) as vault,
            vault.notes(run.progress) as notes,
        ):
            self._forget_others(vault, run)
            with taken_back(vault, run.attempt_id):
                facts.outcomes = runner.run(
                    facts.graph,
                    lambda resource, progress: self._job(run, provider, vault, resource, progress),
                    run.progress,
                )
                self._forget_others(vault, run)
                error = runner.first_error(facts.outcomes)
                if error is not None:
                    raise error
                facts.ended_at = self.env.clock.now()
                manifest = described(facts.asked_for, facts.graph, facts.outcomes, facts.ended_at)
                facts.manifest_id = describing.write(notes, manifest, run.attempt_id)

    def _forget_others(self, vault: OpenVault, run: Run) -> None:
        """An attempt that broke off, or was late to notice that its lease was lost, may have left some."""
        facts: ProtectFacts = run.facts
        if facts.repeated:
            own = {report.snapshot_id for report in reports_of(facts.outcomes)}
            forget_checkpoint(vault, run.entity_id, keep=own)

    def handle_success(self, uow: UnitOfWork, checkpoint: Checkpoint, run: Run) -> None:
        facts: ProtectFacts = run.facts
        rows = {row.key: row for row in checkpoint.resources}
        for outcome in facts.outcomes:
            row = rows.get(outcome.resource.key) or add_dependent(uow, checkpoint, outcome.resource)
            keep(uow, row, outcome)
        reports = reports_of(facts.outcomes)
        move(
            uow.session,
            Checkpoint,
            checkpoint.id,
            CheckpointStatus.PROTECTING,
            CheckpointStatus.AVAILABLE,
            ended_at=facts.ended_at or self.env.clock.now(),
            resource_graph=facts.graph.to_json() if facts.graph else None,
            partial=any(map(is_partial, reports)),
            manifest_id=facts.manifest_id,
            **sums(reports),
        )
        quota.keep(uow, checkpoint, checkpoint.stored_bytes)
        facts.retention = expiry.wanted_after(uow, checkpoint)

    def submit_follow_ons(self, submission: Submission, run: Run) -> None:
        if run.facts.retention is not None:
            submission.process_retain(run.facts.retention)

    def handle_error(self, uow: UnitOfWork, checkpoint: Checkpoint, error: ProtectdError, run: Run) -> None:
        why = reasons(run.facts.outcomes) if run.facts else {}
        fail_resources(uow, checkpoint.resources, UNFINISHED, why)
        if checkpoint.status in (CheckpointStatus.PENDING, CheckpointStatus.PROTECTING):
            move(
                uow.session,
                Checkpoint,
                checkpoint.id,
                checkpoint.status,
                CheckpointStatus.ERROR,
                ended_at=self.env.clock.now(),
                error_code=error.code,
                error_message=str(error),
            )
            quota.release(uow, checkpoint)

    def handle_lost(self, run: Run) -> None:
        """What was stored before it was noticed that another has the task is this run's to take away."""
        forgotten = forget_lost(self.env, run)
        LOG.info("task %s: %d snapshots of a lost attempt are taken away", run.task_id, forgotten)

    def previous_of(self, uow: UnitOfWork, checkpoint: Checkpoint) -> dict[str, str]:
        """What each resource is compared with, by `type#id`."""
        find, plan_id = uow.checkpoints.newest_snapshot, checkpoint.plan_id
        found = {row.key: find(plan_id, row.resource_type, row.resource_id) for row in checkpoint.resources}
        return {key: snapshot_id for key, snapshot_id in found.items() if snapshot_id}

    def _start(self, uow: UnitOfWork, checkpoint: Checkpoint) -> bool:
        if checkpoint.status != CheckpointStatus.PENDING:
            return False
        for row in checkpoint.resources:
            move(uow.session, CheckpointResource, row.id, ResourceStatus.PENDING, ResourceStatus.PROTECTING)
        return move(
            uow.session,
            Checkpoint,
            checkpoint.id,
            CheckpointStatus.PENDING,
            CheckpointStatus.PROTECTING,
            started_at=self.env.clock.now(),
        )

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
