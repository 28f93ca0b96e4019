"""Copy: from a checkpoint that waits to one that holds what another does, in that one's vault or another."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from protectd.common.errors import ProtectdError
from protectd.common.reports import CopyReport
from protectd.domain import describing, manifests, quota
from protectd.domain.manifests import Manifest
from protectd.model.models import Checkpoint, CheckpointResource
from protectd.model.states import COPYING_STATUSES, CheckpointStatus, ResourceStatus, move
from protectd.model.unit_of_work import UnitOfWork
from protectd.tasks.base import BaseTask
from protectd.tasks.entities import fail_resources, provider_of
from protectd.tasks.env import OpenVault
from protectd.tasks.errors import CopyIncomplete, EntityNotReady, NotSaved
from protectd.tasks.run import Run
from protectd.tasks.snapshots import forget_checkpoint, forget_lost, retagged, taken_back

LOG = logging.getLogger(__name__)

FINISHED = {"copy_status": CheckpointStatus.FINISHED}
"""What the contract has in `extra_info` of a copy that went well."""

UNFINISHED = (ResourceStatus.PENDING, ResourceStatus.PROTECTING)


@dataclass
class CopyFacts:
    """:ivar snapshots: of the source, by `type#id`.
    :ivar repeated: an earlier attempt may have left snapshots.
    :ivar manifest: what describes the copy, without its snapshots. :ivar manifest_id: that of the whole.
    :ivar ended_at: when all was there.
    """

    source_provider_id: str
    snapshots: Mapping[str, str]
    repeated: bool
    manifest: Manifest | None = None
    report: CopyReport | None = None
    ended_at: datetime | None = None
    manifest_id: str | None = None

    @property
    def copies(self) -> dict[str, str]:
        """Snapshots of the copy, by `type#id`."""
        report = self.report or CopyReport()
        made = dict((*report.copied, *report.present))
        return {key: made[id] for key, id in self.snapshots.items() if id in made}


class CopyCheckpoint(BaseTask[Checkpoint]):
    """Blobs that the other vault has are not moved, also those that an attempt that broke off has moved: it
    names them in the index once a minute."""

    operation = "copy"
    kind = "checkpoint"
    success_word = CheckpointStatus.AVAILABLE
    failure_word = CheckpointStatus.ERROR

    def retrieve_entity(self, uow: UnitOfWork, entity_id: str) -> Checkpoint:
        return uow.checkpoints.get(entity_id, lock=True)

    def handle_begin(self, uow: UnitOfWork, checkpoint: Checkpoint, run: Run) -> None:
        repeated = checkpoint.status == CheckpointStatus.COPYING
        if not repeated and not self._start(uow, checkpoint):
            raise EntityNotReady(
                kind=self.kind,
                id=checkpoint.id,
                status=checkpoint.status,
                expected=CheckpointStatus.WAIT_COPYING,
            )
        source = uow.checkpoints.get(checkpoint.source_id or "", checkpoint.project_id)
        plan = uow.plans.find(checkpoint.plan_id, include_deleted=True)
        manifest = manifests.of_rows(checkpoint, plan.parameters if plan else {})
        run.facts = CopyFacts(source.provider_id, _snapshots(source), repeated, manifest)

    def handle_processing(self, run: Run) -> None:
        """Blobs first, then snapshots, then what describes them, rows later: what breaks off here leaves
        rubbish, never a lie."""
        facts: CopyFacts = run.facts
        project_id, provider = run.context.project_id, provider_of(self.env, run)
        home = self.env.providers.get(facts.source_provider_id)
        with (
            self.env.vaults.session(home, project_id) as source,
            self.env.vaults.session(provider, project_id) as target,
            target.notes(run.progress) as notes,
            taken_back(target, run.attempt_id),
        ):
            self._forget_others(target, run)
            ids = list(facts.snapshots.values())
            tags = retagged(source, ids, run.entity_id, run.attempt_id)
            facts.report = source.copy(target, ids, run.progress, tags=tags)
            self._forget_others(target, run)
            if not facts.report.ok:
                raise CopyIncomplete(errors="; ".join(facts.report.errors))
            facts.ended_at = self.env.clock.now()
            facts.manifest_id = describing.write(notes, _whole(facts), run.attempt_id, later=True)

    def _forget_others(self, vault: OpenVault, run: Run) -> None:
        """An attempt that broke off, or was late to notice that its lease was lost, may have left some."""
        facts: CopyFacts = run.facts
        if facts.repeated:
            forget_checkpoint(vault, run.entity_id, keep=facts.copies.values())

    def handle_success(self, uow: UnitOfWork, checkpoint: Checkpoint, run: Run) -> None:
        facts: CopyFacts = run.facts
        for row in checkpoint.resources:
            move(
                uow.session,
                CheckpointResource,
                row.id,
                ResourceStatus.PROTECTING,
                ResourceStatus.AVAILABLE,
                snapshot_id=facts.copies.get(row.key),
            )
        move(
            uow.session,
            Checkpoint,
            checkpoint.id,
            CheckpointStatus.COPYING,
            CheckpointStatus.AVAILABLE,
            ended_at=facts.ended_at or self.env.clock.now(),
            manifest_id=facts.manifest_id,
            extra_info=(checkpoint.extra_info or {}) | FINISHED,
            stored_bytes=facts.report.copied_bytes if facts.report else 0,
        )
        quota.keep(uow, checkpoint, checkpoint.stored_bytes)

    def handle_error(self, uow: UnitOfWork, checkpoint: Checkpoint, error: ProtectdError, run: Run) -> None:
        fail_resources(uow, checkpoint.resources, UNFINISHED, {})
        if checkpoint.status in COPYING_STATUSES:
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

    def _start(self, uow: UnitOfWork, checkpoint: Checkpoint) -> bool:
        if checkpoint.status != CheckpointStatus.WAIT_COPYING:
            return False
        for row in checkpoint.resources:
            move(uow.session, CheckpointResource, row.id, ResourceStatus.PENDING, ResourceStatus.PROTECTING)
        return move(
            uow.session,
            Checkpoint,
            checkpoint.id,
            CheckpointStatus.WAIT_COPYING,
            CheckpointStatus.COPYING,
            started_at=self.env.clock.now(),
        )


def _snapshots(source: Checkpoint) -> dict[str, str]:
    """:raises EntityNotReady: the source has left the state in which it was to be copied.
    :raises NotSaved: there is no data of one of its resources."""
    if source.status != CheckpointStatus.AVAILABLE:
        expected = CheckpointStatus.AVAILABLE
        raise EntityNotReady(kind="checkpoint", id=source.id, status=source.status, expected=expected)
    for row in source.resources:
        if not row.snapshot_id:
            raise NotSaved(resource=row.key)
    return {row.key: row.snapshot_id for row in source.resources if row.snapshot_id}


def _whole(facts: CopyFacts) -> Manifest:
    """What describes the copy, now that it is there."""
    assert facts.manifest is not None and facts.report is not None
    return facts.manifest.holding(
        facts.copies,
        ended_at=manifests.text_of(facts.ended_at),
        extra_info=(facts.manifest.checkpoint["extra_info"] or {}) | FINISHED,
        stored_bytes=facts.report.copied_bytes,
    )
