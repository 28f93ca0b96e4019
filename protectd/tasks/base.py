"""What all tasks have in common: claim, lease, one attempt, one visible end."""

from __future__ import annotations

import logging

from protectd.common.context import RequestContext
from protectd.common.errors import Unavailable
from protectd.model.models import Task
from protectd.tasks.ending import Ending
from protectd.tasks.errors import LeaseLost, TaskLost
from protectd.tasks.hold import claim, give_back_unclaimed
from protectd.tasks.hooks import E
from protectd.tasks.run import Run

LOG = logging.getLogger(__name__)


class BaseTask(Ending[E]):
    """One operation. An instance serves one message.

    However often and wherever a task is announced, one attempt runs at a time, and one end is written.
    """

    def process_and_suppress_exceptions(self, context: RequestContext, task_id: str) -> None:
        """The door: whatever happens behind it ends in the row or in the log, never in the caller."""
        try:
            self._process(context, task_id)
        except Exception:
            # The door of tasks. The lease runs out, and the reconciler finds what is left.
            LOG.exception("task %s (request %s) broke off", task_id, context.request_id)

    def give_up_and_suppress_exceptions(self, task: Task) -> bool:
        """End a task, and its entity, whose workers were lost as often as it may be begun.

        :param task: as it was read with its expired lease; if that has changed since, nothing happens.
        :returns: whether this call ended it.
        :raises Unavailable: the database is away; the same call may succeed later.
        """
        try:
            return self._give_up_expired(task)
        except Unavailable:
            raise
        except Exception:
            # The door of tasks: one row that cannot be ended does not keep others from it.
            LOG.exception("task %s cannot be given up", task.id)
            return False

    def _give_up_expired(self, task: Task) -> bool:
        error, run = TaskLost(attempts=task.attempts), Run.of(task, self.env)
        with self.env.database.write() as uow:
            ended = uow.tasks.fail_expired(
                task,
                self.env.clock.now(),
                outcome=self.failure_word,
                error_code=error.code,
                error_message=str(error),
            )
            if ended:
                self._give_up(uow, run, error)
        if ended:
            self._log(run, logging.ERROR, f"{self.failure_word}: {error}")
        return ended

    def _process(self, context: RequestContext, task_id: str) -> None:
        if self.env.stopping.is_set():
            give_back_unclaimed(self.env, task_id)
            return
        run = claim(self.env, self.operation, context, task_id)
        if run is None:
            return
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
            self._log(run, logging.WARNING, "the lease is lost, nothing is written")

    def _attempt(self, run: Run) -> Exception | None:
        """Begin, work, write the good end; or the error that came between."""
        try:
            run.progress.check()
            with self.env.database.write() as uow:
                self.handle_begin(uow, self._entity(uow, run), run)
            self.handle_processing(run)
            self._insist(run, lambda: self._succeed(run))
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001 - the door of tasks: any error becomes a visible end
            return error
        return None
