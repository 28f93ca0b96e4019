"""Retain: let go of the checkpoints of a plan that have served their time."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from protectd.common.errors import Conflict, ProtectdError
from protectd.domain import checkpoints, expiry
from protectd.domain.retention import Verdict
from protectd.domain.submission import Submission
from protectd.model.models import Checkpoint, ScheduledOperation
from protectd.model.states import CheckpointStatus, RunStatus
from protectd.model.unit_of_work import UnitOfWork
from protectd.queue.contract import TaskRef
from protectd.tasks.base import BaseTask
from protectd.tasks.ending import submit_options
from protectd.tasks.run import Run

LOG = logging.getLogger(__name__)

BATCH = 50
"""Checkpoints whose deletion begins in one transaction."""

RECORDED = 1000
"""So many are kept by name in the task's row. Each has a line of its own in the operation log anyway."""

REMOVED = "removed "


@dataclass
class RetainFacts:
    """:ivar begun: deletions to be announced. :ivar passed_over: somebody needs them, or wants them kept."""

    begun: list[TaskRef] = field(default_factory=list)
    passed_over: set[str] = field(default_factory=set)


class RetainCheckpoints(BaseTask[ScheduledOperation]):
    """Follows a protect that went well. Looks anew for each batch, and begins deletions in the transaction
    that notes them: broken off at any point and begun again, it ends where one run would have."""

    operation = "retain"
    kind = "scheduled_operation"
    success_word = RunStatus.SUCCESS
    failure_word = RunStatus.FAIL

    def retrieve_entity(self, uow: UnitOfWork, entity_id: str) -> ScheduledOperation:
        return uow.scheduled_operations.get(entity_id)

    def handle_begin(self, uow: UnitOfWork, operation: ScheduledOperation, run: Run) -> None:
        run.facts = RetainFacts()

    def handle_processing(self, run: Run) -> None:
        while self._remove_some(run):
            run.progress.check()

    def handle_success(self, uow: UnitOfWork, operation: ScheduledOperation, run: Run) -> None:
        LOG.info("task %s: %d checkpoints are let go", run.task_id, len(run.facts.begun))

    def handle_error(
        self, uow: UnitOfWork, operation: ScheduledOperation, error: ProtectdError, run: Run
    ) -> None:
        """What has begun goes on, and the rest waits for the next protect."""

    def submit_follow_ons(self, submission: Submission, run: Run) -> None:
        submission.submitted.extend(run.facts.begun)

    def _remove_some(self, run: Run) -> bool:
        """Checkpoints first and then the queue, as whoever deletes one: nobody waits in a circle.

        :returns: whether there may be more.
        :raises InvalidField: the rules are those of another version.
        """
        facts: RetainFacts = run.facts
        passed_over: set[str] = set()
        begun: list[Checkpoint] = []
        with run.marks.within() as (uow, add):
            operation = self._entity(uow, run)
            submission = self._submission(uow, operation, run)
            review = expiry.review(uow, operation, self.env.clock.now())
            if review.error is not None:
                raise review.error
            # The oldest first, in which order whoever copies several locks them.
            due = reversed(review.removed)
            chosen = [each for each in due if each.candidate.id not in facts.passed_over][:BATCH]
            for verdict in chosen:
                checkpoint = self._remove(uow, verdict)
                if checkpoint is None:
                    passed_over.add(verdict.candidate.id)
                    continue
                begun.append(checkpoint)
                if run.marks.count(REMOVED) < RECORDED:
                    add(mark_of(verdict))
            for checkpoint in begun:
                submission.process_delete(checkpoint)
        facts.passed_over |= passed_over
        facts.begun += submission.submitted
        return bool(chosen)

    def _submission(self, uow: UnitOfWork, operation: ScheduledOperation, run: Run) -> Submission:
        options = submit_options(self.env.options)
        return Submission(uow, run.context, self.env.clock, options, scheduled_operation_id=operation.id)

    def _remove(self, uow: UnitOfWork, verdict: Verdict) -> Checkpoint | None:
        if verdict.candidate.provider_id not in {each.id for each in self.env.providers}:
            return None  # a copy, and nobody could reach its vault now
        checkpoint = uow.checkpoints.find(verdict.candidate.id, lock=True)
        if checkpoint is None or not _is_same(checkpoint, verdict):
            return None
        if verdict.candidate.failed and uow.tasks.live(checkpoint.kind, checkpoint.id):
            LOG.info("retention passes over checkpoint %s: somebody sets it right", checkpoint.id)
            return None
        try:
            checkpoints.start_delete(uow, checkpoint)
        except Conflict as error:
            LOG.info("retention passes over checkpoint %s: %s", checkpoint.id, error)
            return None
        return checkpoint


def mark_of(verdict: Verdict) -> str:
    return f"{REMOVED}{verdict.candidate.id} {','.join(verdict.reasons)}"


def _is_same(checkpoint: Checkpoint, verdict: Verdict) -> bool:
    """Whether it is still what the rules were asked about."""
    verified = checkpoint.verified_at is not None
    failed = checkpoint.status in (CheckpointStatus.ERROR, CheckpointStatus.ERROR_DELETING)
    if not failed and checkpoint.status != CheckpointStatus.AVAILABLE:
        return False
    return (failed, verified) == (verdict.candidate.failed, verdict.candidate.verified)
