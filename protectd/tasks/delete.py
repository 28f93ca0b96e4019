"""Delete: forget a checkpoint; the bytes follow with a prune."""

from __future__ import annotations

from dataclasses import dataclass

from protectd.common.errors import ProtectdError
from protectd.domain import quota
from protectd.domain.submission import Submission
from protectd.model.models import Checkpoint
from protectd.model.states import CheckpointStatus, ResourceStatus, move
from protectd.model.unit_of_work import UnitOfWork
from protectd.tasks.base import BaseTask
from protectd.tasks.entities import fail_resources, move_resources, provider_of
from protectd.tasks.errors import EntityNotReady
from protectd.tasks.run import Run
from protectd.tasks.snapshots import forget_checkpoint, snapshot_ids

FORGETS = "forgets"
ENDED = (ResourceStatus.AVAILABLE, ResourceStatus.ERROR)


@dataclass(frozen=True)
class DeleteFacts:
    snapshot_ids: frozenset[str]


class DeleteCheckpoint(BaseTask[Checkpoint]):
    """The request has moved the checkpoint to deleting already, in the transaction that checked its pins."""

    operation = "delete"
    kind = "checkpoint"
    success_word = CheckpointStatus.DELETED
    failure_word = CheckpointStatus.ERROR_DELETING

    def retrieve_entity(self, uow: UnitOfWork, entity_id: str) -> Checkpoint:
        return uow.checkpoints.get(entity_id, lock=True)

    def handle_begin(self, uow: UnitOfWork, checkpoint: Checkpoint, run: Run) -> None:
        if checkpoint.status != CheckpointStatus.DELETING:
            raise EntityNotReady(
                kind=self.kind, id=checkpoint.id, status=checkpoint.status, expected=CheckpointStatus.DELETING
            )
        move_resources(uow, checkpoint.resources, ENDED, ResourceStatus.DELETING)
        run.facts = DeleteFacts(snapshot_ids(checkpoint))

    def handle_processing(self, run: Run) -> None:
        provider = provider_of(self.env, run)
        with self.env.vaults.session(provider, run.context.project_id) as vault:
            # Who was out for a while may be taken for dead, and the checkpoint be somebody's again.
            forget_checkpoint(
                vault, run.entity_id, also=run.facts.snapshot_ids, begin=lambda: run.marks.add(FORGETS)
            )

    def handle_success(self, uow: UnitOfWork, checkpoint: Checkpoint, run: Run) -> None:
        """The row stays and says deleted: a client that waits for the end has to find it."""
        now = self.env.clock.now()
        move_resources(uow, checkpoint.resources, (ResourceStatus.DELETING,), ResourceStatus.DELETED)
        move(
            uow.session,
            Checkpoint,
            checkpoint.id,
            CheckpointStatus.DELETING,
            CheckpointStatus.DELETED,
            deleted_at=now,
            error_code=None,
            error_message=None,
        )
        quota.release(uow, checkpoint)

    def submit_follow_ons(self, submission: Submission, run: Run) -> None:
        submission.process_prune(run.provider_id, run.context.project_id)

    def handle_error(self, uow: UnitOfWork, checkpoint: Checkpoint, error: ProtectdError, run: Run) -> None:
        fail_resources(uow, checkpoint.resources, (ResourceStatus.DELETING,), {})
        if checkpoint.status == CheckpointStatus.DELETING:
            move(
                uow.session,
                Checkpoint,
                checkpoint.id,
                CheckpointStatus.DELETING,
                CheckpointStatus.ERROR_DELETING,
                error_code=error.code,
                error_message=str(error),
            )
        quota.settle(uow, checkpoint)
