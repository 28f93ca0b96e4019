"""What all tasks have in common: claim, lease, one attempt, one visible end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from protectd.common.context import RequestContext
from protectd.common.errors import ProtectdError, Unavailable
from protectd.common.trail import trail
from protectd.domain.submission import reference
from protectd.model.models import Task
from protectd.model.unit_of_work import UnitOfWork
from protectd.queue.contract import NO_HINT, Hint
from protectd.tasks.ending import Ending, end_state
from protectd.tasks.errors import BeginFailed, LeaseLost, NotKnown
from protectd.tasks.hold import (
    begun,
    claim,
    claim_next,
    count_claims,
    give_back_unclaimed,
    give_operations,
    take_next,
)
from protectd.tasks.hooks import E
from protectd.tasks.run import Run

LOG = logging.getLogger(__name__)


class BaseTask(Ending[E]):
    """One operation. An instance serves one message, and one attempt at a time.

    However often and wherever a task is announced, one attempt runs at a time, and one end is written.
    """

    def process_and_suppress_exceptions(
        self, context: RequestContext, task_id: str, *, hint: Hint = NO_HINT
    ) -> None:
        """The door: whatever happens behind it ends in the row or in the log, never in the caller. Where
        tasks go together, one thread sees to all that is said meanwhile, and what it has done is not looked
        at again.

        :param hint: for the sake of a brief task, nothing is begun that takes longer.
        """
        if self.env.in_turn and self.env.goes_together(hint.brief):
            hint = replace(hint, brief=True)
            self.env.errands.bring(lambda: self._process_and_suppress(context, task_id, hint))
        else:
            self._process_and_suppress(context, task_id, replace(hint, brief=False))

    def _process_and_suppress(self, context: RequestContext, task_id: str, hint: Hint) -> None:
        self._suppress(context, task_id, lambda: self._process(context, task_id, hint))

    def _suppress(self, context: RequestContext, task_id: str, work: Callable[[], None]) -> None:
        try:
            work()
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
                give_operations(uow, [run])
        if ended:
            self._count_end(run, end_state(error))
            self._log(run, logging.ERROR, f"{self.failure_word}: {error}")
        return ended

    def _process(self, context: RequestContext, task_id: str, hint: Hint) -> None:
        if self.env.stopping.is_set() or self.env.disabled.is_set():
            give_back_unclaimed(self.env)
            return
        runs = claim(self.env, self._begin, self.operation, context, task_id, hint)
        while runs:
            following = self._do_all(runs)
            if following is None or not (following or hint.brief):
                following = self._next(hint.brief)
            runs = following

    def _do_all(self, runs: list[Run]) -> list[Run] | None:
        """:returns: those that were claimed with their ends; None: nobody has looked for any. Who looks for
        brief ones only need not look once more: of what came since, a message is yet to come."""
        if self.env.goes_together(runs[0].brief):
            return self._do_together(runs)
        (run,) = runs
        self._doer(run.operation).do(run)
        return run.next or None

    def _begin(self, uow: UnitOfWork, runs: list[Run]) -> None:
        """Of runs whose claim is in this unit of work, whatever their operations."""
        self._check_known(runs)
        for doer, own in self._by_doer(runs):
            try:
                doer.begin_all(uow, own)
            except Exception as error:
                # The door of tasks: the claim is made without it, and what fails then becomes a visible end.
                raise BeginFailed(task_id=own[0].task_id, reason=type(error).__name__) from error

    def _check_known(self, runs: Sequence[Run]) -> None:
        """What cannot be done here is not claimed: its turn would come again and again, and nobody else's."""
        known = self.env.operations.keys() | {self.operation}
        strange = [run for run in runs if run.operation not in known]
        for run in strange:
            self.env.hands.note_strange(run.task_id)
        if strange:
            raise NotKnown(operations=", ".join(sorted({run.operation for run in strange})))

    def begin_all(self, uow: UnitOfWork, runs: Sequence[Run]) -> None:
        """Have runs of this operation begin; those that are not said to have, do so later and alone. Who has
        to wait for the entity does so alone, too: nobody else's end may wait with it."""
        for run in runs:
            run.progress.check()
            with uow.hasty():
                run.entity = self._entity(uow, run)
            self.handle_begin(uow, run.entity, run)
            uow.flush()
            run.begun = True

    def _next(self, only_brief: bool) -> list[Run]:
        """The next one at once: it may have waited for the room that has become free, and its own message may
        be used up by now."""
        if not self.env.in_turn or self.env.stopping.is_set():
            return []
        self._tell_others()
        return claim_next(self.env, self._begin, only_brief=only_brief)

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

    def _by_doer(self, runs: Sequence[Run]) -> Iterable[tuple[BaseTask[Any], list[Run]]]:
        operations: dict[str, list[Run]] = {}
        for run in runs:
            operations.setdefault(run.operation, []).append(run)
        return [(self._doer(operation), own) for operation, own in operations.items()]

    def do(self, run: Run) -> None:
        """One attempt at a task that this process has claimed, to its end."""
        with self._kept(run):
            self._run(run)
        self._announce([run])

    @contextmanager
    def _kept(self, run: Run) -> Iterator[None]:
        with trail(**_about(run)), self.env.hands.holding(run.task_id):
            self._log(run, logging.INFO, f"attempt {run.attempt} begins")
            with run.keeper:
                yield

    def _announce(self, runs: Sequence[Run]) -> None:
        follow_ons = [ref for run in runs for ref in run.follow_ons]
        if follow_ons and self.env.announcer is not None:
            self.env.announcer.dispatch(follow_ons, wait_for_direct=False)

    def _do_together(self, runs: list[Run]) -> list[Run] | None:
        """One attempt at each of some tasks that take no time. What keeps one of them from its good end keeps
        the others from theirs only until each has been tried alone.

        :returns: as `_do_all`.
        """
        begun, alone = [run for run in runs if run.begun], [run for run in runs if not run.begun]
        with ExitStack() as kept:
            for run in runs:
                kept.enter_context(self._doer(run.operation)._kept(run))
            # Others may hold what the latter wait for: nothing that was claimed is to wait with them.
            ended, following = self._end_together(begun, goes_on=not alone and self._may_go_on())
            if not ended:
                self._do_alone(begun)
            self._do_alone(alone)
        self._announce(runs)
        return following

    def _do_alone(self, runs: Sequence[Run]) -> None:
        """Each to its own end, even where that of another cannot be written."""
        for run in runs:
            run.goes_on, run.entity = False, None
            with trail(**_about(run)):
                self._suppress(run.context, run.task_id, partial(self._doer(run.operation)._run, run))

    def _end_together(self, runs: list[Run], *, goes_on: bool) -> tuple[bool, list[Run] | None]:
        """:returns: whether they have ended, else nothing has happened; and as `_do_all`."""
        try:
            return True, self._succeed_together(runs, goes_on=goes_on) if runs else None
        except BeginFailed:
            return self._end_together(runs, goes_on=False)
        except Exception as error:  # noqa: BLE001 - the door of tasks: each alone tells what it is
            LOG.debug("%d tasks end each for itself: %s", len(runs), type(error).__name__)
            return False, None

    def _succeed_together(self, runs: list[Run], *, goes_on: bool) -> list[Run] | None:
        """As `_succeed`, of several, in one transaction and in the same order."""
        for run in runs:
            self._doer(run.operation).handle_processing(run)
        with self._ending(runs[0]) as uow:
            for doer, own in self._by_doer(runs):
                doer.end_all(uow, own)
            following = self._go_on(uow, only_brief=True) if goes_on else None
            give_operations(uow, runs)
            follow_ons = [self._doer(run.operation)._followed(uow, run) for run in _by_project(runs)]
        for run, submitted in zip(_by_project(runs), follow_ons, strict=True):
            run.follow_ons = submitted
            with trail(**_about(run)):
                self._doer(run.operation)._note_success(run)
        count_claims(self.env, following or [])
        return following

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
        if run.goes_on and self._may_go_on():
            try:
                return self._succeed(run, self._go_on)
            except BeginFailed as failed:
                self._log(run, logging.DEBUG, str(failed))
        return self._succeed(run)

    def _may_go_on(self) -> bool:
        return self.env.in_turn and not self.env.options.limits and not self.env.stopping.is_set()

    def _go_on(self, uow: UnitOfWork, *, only_brief: bool = False) -> list[Run]:
        try:
            return begun(self.env, self._begin, uow, take_next(self.env, uow, only_brief=only_brief))
        except Unavailable as error:
            raise BeginFailed(task_id="next", reason=str(error)) from error


def _about(run: Run) -> dict[str, str]:
    return {"request_id": run.context.request_id, "task_id": run.task_id, "operation": run.operation}


def _by_project(runs: Sequence[Run]) -> list[Run]:
    """Whoever submits locks what is its project's: always in this order."""
    return sorted(runs, key=lambda run: run.context.project_id)
