"""What all tasks have in common: claim, lease, one attempt, one visible end."""

from __future__ import annotations

import logging
from typing import Any

from protectd.common.context import RequestContext
from protectd.common.errors import ProtectdError, Unavailable
from protectd.common.trail import trail
from protectd.domain.submission import reference
from protectd.model.models import Task
from protectd.model.unit_of_work import UnitOfWork
from protectd.tasks.ending import Ending, end_state
from protectd.tasks.errors import BeginFailed, LeaseLost
from protectd.tasks.hold import begun, claim, claim_next, give_back_unclaimed, give_operation, take_next
from protectd.tasks.hooks import E
from protectd.tasks.run import Run

LOG = logging.getLogger(__name__)


class BaseTask(Ending[E]):
    """One operation. An instance serves one message, and one attempt at a time.

    However often and wherever a task is announced, one attempt runs at a time, and one end is written.
    """

    def process_and_suppress_exceptions(self, context: RequestContext, task_id: str) -> None:
        """The door: whatever happens behind it ends in the row or in the log, never in the caller."""
        try:
            self._process(context, task_id)
        except Unavailable as error:
            LOG.warning("task %s (request %s) is left for later: %s", task_id, context.request_id, error)
        except Exception:
            # The door of tasks. The lease runs out, and the reconciler finds what is left.
            LOG.exception("task %s (request %s) broke off", task_id, context.request_id)

    def give_up_and_suppress_exceptions(self, task: Task, error: ProtectdError) -> bool:
        """End a task that nobody runs, and its entity: one that waits, or whose lease has run out.

        :param task: as it was read; if that has changed since, nothing happens.
        :returns: whether this call ended it.
        :raises Unavailable: the database is away; the same call may succeed later.
        """
        try:
            return self._give_up_unheld(task, error)
        except Unavailable:
            raise
        except Exception:
            # The door of tasks: one row that cannot be ended does not keep others from it.
            LOG.exception("task %s cannot be given up", task.id)
            return False

    def _give_up_unheld(self, task: Task, error: ProtectdError) -> bool:
        run = Run.of(task, self.env)
        with self.env.database.write() as uow:
            ended = uow.tasks.end_unheld(
                task,
                end_state(error),
                self.env.clock.now(),
                outcome=self.failure_word,
                error_code=error.code,
                error_message=str(error),
            )
            if ended:
                self._give_up(uow, run, error)
                give_operation(uow, run)
        if ended:
            self._count_end(run, end_state(error))
            self._log(run, logging.ERROR, f"{self.failure_word}: {error}")
        return ended

    def _process(self, context: RequestContext, task_id: str) -> None:
        if self.env.stopping.is_set() or self.env.disabled.is_set():
            give_back_unclaimed(self.env)
            return
        run = claim(self.env, self._begin, self.operation, context, task_id)
        while run is not None:
            self._doer(run.operation).do(run)
            run = run.next or self._next()

    def _begin(self, uow: UnitOfWork, run: Run) -> None:
        """Of a run whose claim is in this unit of work, whatever its operation. Who has to wait for the
        entity does so alone: nobody else's end may wait with it."""
        doer = self._doer(run.operation)
        try:
            run.progress.check()
            with uow.hasty():
                run.entity = doer._entity(uow, run)
            doer.handle_begin(uow, run.entity, run)
            uow.flush()
        except Exception as error:
            # The door of tasks: the claim is made without it, and what fails then becomes a visible end.
            raise BeginFailed(task_id=run.task_id, reason=type(error).__name__) from error
        run.begun = True

    def _next(self) -> Run | None:
        """The next one at once: it may have waited for the room that has become free, and its own message may
        be used up by now."""
        if not self.env.in_turn or self.env.stopping.is_set():
            return None
        self._tell_others()
        return claim_next(self.env, self._begin)

    def _tell_others(self) -> None:
        """Room that has become free here may be what a task for another host waits for."""
        if not self.env.options.limits or self.env.announcer is None:
            return
        with self.env.database.read() as uow:
            waiting = uow.tasks.held_back(self.env.host, self.env.clock.now())
        if waiting is not None:
            self.env.announcer.dispatch([reference(waiting)], wait_for_direct=False)

    def _doer(self, operation: str) -> BaseTask[Any]:
        if operation == self.operation:
            return self
        doer: BaseTask[Any] = self.env.operations[operation]()
        return doer

    def do(self, run: Run) -> None:
        """One attempt at a task that this process has claimed, to its end."""
        about = {"request_id": run.context.request_id, "task_id": run.task_id, "operation": run.operation}
        with trail(**about), self.env.hands.holding(run.task_id):
            self._log(run, logging.INFO, f"attempt {run.attempt} begins")
            with run.keeper:
                self._run(run)
        if run.follow_ons and self.env.announcer is not None:
            self.env.announcer.dispatch(run.follow_ons, wait_for_direct=False)

    def _run(self, run: Run) -> None:
        try:
            error = self._attempt(run)
            if error is not None:
                self._conclude(run, error)
        except LeaseLost:
            self.env.metrics.lease_lost(run.operation)
            self._log(run, logging.WARNING, "the lease is lost, nothing is written")
            self.handle_lost(run)

    def _attempt(self, run: Run) -> Exception | None:
        """Begin, work, write the good end; or the error that came between."""
        try:
            run.progress.check()
            if not run.begun:
                with self.env.database.write() as uow:
                    self.handle_begin(uow, self._entity(uow, run), run)
            self.handle_processing(run)
            self._insist(run, lambda: self._succeed_and_go_on(run))
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001 - the door of tasks: any error becomes a visible end
            return error
        return None

    def _succeed_and_go_on(self, run: Run) -> None:
        """The end of one task and the begin of the next are one transaction, where the next has to ask nobody
        for room. What keeps the next one from its begin does not keep this one from its end."""
        if self.env.in_turn and not self.env.options.limits and not self.env.stopping.is_set():
            try:
                return self._succeed(run, self._go_on)
            except BeginFailed as failed:
                self._log(run, logging.DEBUG, str(failed))
        return self._succeed(run)

    def _go_on(self, uow: UnitOfWork) -> Run | None:
        try:
            task = take_next(self.env, uow)
        except Unavailable as error:
            raise BeginFailed(task_id="next", reason=str(error)) from error
        return None if task is None else begun(self.env, self._begin, uow, task)
