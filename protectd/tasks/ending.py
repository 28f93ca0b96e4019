"""How an attempt ends: well, badly, quietly, later or elsewhere. Each end is one transaction."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

from protectd.common.errors import Cancelled, NotFound, ProtectdError, Unavailable
from protectd.domain.submission import Submission, SubmitOptions
from protectd.model.errors import ConnectionLost
from protectd.model.states import TaskState
from protectd.model.unit_of_work import UnitOfWork
from protectd.queue.contract import TaskRef
from protectd.tasks.backoff import retry_delay_s
from protectd.tasks.env import TaskOptions
from protectd.tasks.errors import EntityGone, LeaseLost, Stopping, visible
from protectd.tasks.hold import count_claims, end, give_back, give_operations
from protectd.tasks.hooks import E, TaskHooks
from protectd.tasks.run import Run

LOG = logging.getLogger(__name__)

GoOn = Callable[[UnitOfWork], list[Run]]

INSIST_S = 1.0
"""Between two attempts to write down what has happened."""


class Ending(TaskHooks[E]):
    """The entity's move and the task's go together, with the token of the claim: who lost the lease writes
    nothing."""

    def _conclude(self, run: Run, error: Exception) -> None:
        write = self._fail
        if isinstance(error, EntityGone):
            write = self._end_quietly
        elif isinstance(error, Stopping):
            write = self._hand_back
        elif isinstance(error, self.wait_on) and self._may_wait(run):
            write = self._wait
        elif isinstance(error, self.retry_on) and run.attempt < run.max_attempts:
            write = self._retry
        self._insist(run, lambda: write(run, error))

    def _insist(self, run: Run, write: Callable[[], None]) -> None:
        """What has happened is written as soon as the database is there, while the lease is held.

        :raises LeaseLost: it was not held for long enough.
        """
        while not run.keeper.lost:
            try:
                return write()
            except Unavailable as away:
                self._log(run, logging.WARNING, f"its end is not written yet: {away}")
                self.env.clock.sleep(INSIST_S)
        raise LeaseLost(task_id=run.task_id)

    @contextmanager
    def _ending(self, run: Run) -> Iterator[UnitOfWork]:
        """A unit of work that ends the task of this run, and maybe others with it. Where the connection is
        lost at its commit, the row tells whether that took place.

        :raises ConnectionLost: it did not.
        :raises LeaseLost: the row could not be read for as long as the lease was held.
        """
        with closing(self.env.database.begin(write=True)) as uow:
            yield uow
            try:
                uow.commit()
            except ConnectionLost:
                uow.close()
                if not self._was_ended(run):
                    raise

    def _was_ended(self, run: Run) -> bool:
        while True:
            try:
                return self.env.database.ask(lambda uow: uow.tasks.was_finished(run.task_id, run.token))
            except Unavailable as away:
                if run.keeper.lost:
                    raise LeaseLost(task_id=run.task_id) from away
                self._log(run, logging.WARNING, f"whether its end is written is not known yet: {away}")
                self.env.clock.sleep(INSIST_S)

    def end_all(self, uow: UnitOfWork, runs: Sequence[Run]) -> None:
        """The good end of several runs of this operation, their operations and follow-ons excepted.

        :raises LeaseLost: of one of them; the transaction must not go on.
        """
        for run in runs:
            end(self.env, uow, run, TaskState.DONE, self.success_word, simulated=self.simulated)
            self.handle_success(uow, self._entity(uow, run), run)

    def _succeed(self, run: Run, go_on: GoOn = lambda uow: []) -> None:
        """:param go_on: claims tasks that come next, in the same transaction."""
        run.next = []
        with self._ending(run) as uow:
            self.end_all(uow, [run])
            following = go_on(uow)  # before quotas and gates, so that nobody waits for this in a circle
            give_operations(uow, [run])
            submitted = self._followed(uow, run)
        run.follow_ons, run.next = submitted, following
        self._note_success(run)
        count_claims(self.env, following)

    def _followed(self, uow: UnitOfWork, run: Run) -> list[TaskRef]:
        submission = Submission(uow, run.context, self.env.clock, submit_options(self.env.options))
        self.submit_follow_ons(submission, run)
        return submission.submitted

    def _note_success(self, run: Run) -> None:
        """After the commit."""
        self._count_end(run, TaskState.DONE)
        self._log(run, logging.INFO, self.success_word)

    def _fail(self, run: Run, error: Exception) -> None:
        shown = visible(error, run.context.request_id)
        with self._ending(run) as uow:
            end(self.env, uow, run, end_state(error), self.failure_word, shown)
            self._give_up(uow, run, shown)
            give_operations(uow, [run])
        self._count_end(run, end_state(error))
        self._log(run, logging.ERROR, f"{self.failure_word}: {shown}", None if shown is error else error)

    def _give_up(self, uow: UnitOfWork, run: Run, error: ProtectdError) -> None:
        try:
            entity = self.retrieve_entity(uow, run.entity_id)
        except NotFound:
            return
        self.handle_error(uow, entity, error, run)

    def _end_quietly(self, run: Run, error: Exception) -> None:
        with self._ending(run) as uow:
            end(self.env, uow, run, TaskState.CANCELLED, None, visible(error, run.context.request_id))
            give_operations(uow, [run])
        self._count_end(run, TaskState.CANCELLED)
        self._log(run, logging.INFO, str(error))

    def _hand_back(self, run: Run, error: Exception) -> None:
        with self.env.database.write() as uow:
            give_back(self.env, uow, run, delay_s=0, count_attempt=False)
        self.env.metrics.task_put_off(run.operation, "stop")
        self._log(run, logging.INFO, "handed back")

    def _wait(self, run: Run, error: Exception) -> None:
        options = self.env.options
        delay_s = min(options.wait_cap_s, max(options.wait_retry_s, self._waited_s(run) / 4))
        self._come_back(run, error, delay_s, count_attempt=False)

    def _retry(self, run: Run, error: Exception) -> None:
        options = self.env.options
        delay_s = retry_delay_s(run.attempt, options.retry_base_s, options.retry_cap_s, random.random)
        self._come_back(run, error, delay_s, count_attempt=True)

    def _come_back(self, run: Run, error: Exception, delay_s: float, *, count_attempt: bool) -> None:
        shown = visible(error, run.context.request_id)
        with self.env.database.write() as uow:
            give_back(self.env, uow, run, delay_s=delay_s, count_attempt=count_attempt, error=shown)
        self.env.metrics.task_put_off(run.operation, "retry" if count_attempt else "wait")
        self._log(run, logging.WARNING, f"again in {delay_s:.1f} s: {shown}")

    def _may_wait(self, run: Run) -> bool:
        return self.patient or self._waited_s(run) < self.env.options.wait_limit_s

    def _waited_s(self, run: Run) -> float:
        return (self.env.clock.now() - run.first_begun_at).total_seconds()

    def _count_end(self, run: Run, state: str) -> None:
        self.env.hands.note_end(run.task_id)
        self.env.metrics.task_ended(run.operation, state, self._waited_s(run))

    def _log(self, run: Run, level: int, event: str, cause: Exception | None = None) -> None:
        request_id, name = run.context.request_id, self.get_name()
        LOG.log(
            level,
            "task %s (request %s), %s %s: %s",
            run.task_id,
            request_id,
            name,
            run.entity_id,
            event,
            exc_info=cause,
        )

    def _entity(self, uow: UnitOfWork, run: Run) -> E:
        try:
            return self.retrieve_entity(uow, run.entity_id)
        except NotFound as error:
            raise EntityGone(kind=self.kind, id=run.entity_id) from error


def end_state(error: Exception) -> str:
    """The task's state when this has ended it."""
    return TaskState.CANCELLED if isinstance(error, Cancelled) else TaskState.FAILED


def submit_options(options: TaskOptions) -> SubmitOptions:
    return SubmitOptions(options.max_attempts, options.deadline_s, options.weights, options.quotas)
