"""What all tasks have in common: claim, lease, retry, one visible end."""

from __future__ import annotations

import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Generic, TypeVar

from protectd.common.context import RequestContext
from protectd.common.errors import Cancelled, NotFound, ProtectdError, Unavailable
from protectd.domain.submission import Submission
from protectd.model.models import Task
from protectd.model.states import TaskState
from protectd.model.unit_of_work import UnitOfWork
from protectd.tasks.backoff import retry_delay_s
from protectd.tasks.env import TaskEnv
from protectd.tasks.errors import EntityGone, LeaseLost, Stopping, TaskLost, visible
from protectd.tasks.hold import claim, end, give_back, give_back_unclaimed
from protectd.tasks.run import Run
from protectd.vault.errors import VaultLocked

LOG = logging.getLogger(__name__)

E = TypeVar("E")

INSIST_S = 1.0
"""Between two attempts to write down what has happened."""


class BaseTask(ABC, Generic[E]):
    """One operation. An instance serves one message.

    However often and wherever a task is announced, one attempt runs at a time, and one end is written: the
    entity's move and the task's go together, with the token of the claim. Who lost the lease writes nothing.

    :cvar kind: what the entity is called in messages.
    :cvar success_word: the contract's word for the good end; `failure_word` for the bad one.
    :cvar retry_on: errors after which the task comes back later, until its attempts are used up.
    :cvar wait_on: errors that only mean "not now": they cost no attempt, and the next one follows soon.
    """

    operation: ClassVar[str]
    kind: ClassVar[str]
    success_word: ClassVar[str]
    failure_word: ClassVar[str]
    retry_on: ClassVar[tuple[type[ProtectdError], ...]] = (Unavailable,)
    wait_on: ClassVar[tuple[type[ProtectdError], ...]] = (VaultLocked,)

    def __init__(self, env: TaskEnv) -> None:
        self.env = env

    def get_name(self) -> str:
        return f"{self.operation} {self.kind}"

    # --- what an operation fills in ---

    @abstractmethod
    def retrieve_entity(self, uow: UnitOfWork, entity_id: str) -> E:
        """:raises NotFound: it is gone; the task then ends without a word."""

    @abstractmethod
    def handle_begin(self, uow: UnitOfWork, entity: E, run: Run) -> None:
        """Move the entity to its working state and put into `run.facts` what the work needs. A repeated
        attempt finds it in the working state already."""

    @abstractmethod
    def handle_processing(self, run: Run) -> None:
        """Do the work; no transaction is open. May be repeated from the start after any interruption."""

    @abstractmethod
    def handle_success(self, uow: UnitOfWork, entity: E, run: Run) -> None:
        """Move the entity to its good end, in the transaction that ends the task. May be repeated whole."""

    @abstractmethod
    def handle_error(self, uow: UnitOfWork, entity: E, error: ProtectdError, run: Run) -> None:
        """Move the entity to its bad end, with code and reason, in the transaction that ends the task. Also
        called for a task whose worker vanished: `run.facts` may be None."""

    def submit_follow_ons(self, submission: Submission, run: Run) -> None:
        """Add tasks that come after this one, in the transaction that ends it well."""

    # --- the flow ---

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

    def _entity(self, uow: UnitOfWork, run: Run) -> E:
        try:
            return self.retrieve_entity(uow, run.entity_id)
        except NotFound as error:
            raise EntityGone(kind=self.kind, id=run.entity_id) from error

    # --- the ends ---

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

    def _succeed(self, run: Run) -> None:
        with self.env.database.write() as uow:
            end(self.env, uow, run, TaskState.DONE, self.success_word)
            self.handle_success(uow, self._entity(uow, run), run)
            submission = Submission(uow, run.context, self.env.clock, self.env.options.max_attempts)
            self.submit_follow_ons(submission, run)
        run.follow_ons = submission.submitted
        self._log(run, logging.INFO, self.success_word)

    def _fail(self, run: Run, error: Exception) -> None:
        shown = visible(error, run.context.request_id)
        state = TaskState.CANCELLED if isinstance(error, Cancelled) else TaskState.FAILED
        with self.env.database.write() as uow:
            end(self.env, uow, run, state, self.failure_word, shown)
            self._give_up(uow, run, shown)
        self._log(run, logging.ERROR, f"{self.failure_word}: {shown}", None if shown is error else error)

    def _give_up(self, uow: UnitOfWork, run: Run, error: ProtectdError) -> None:
        try:
            entity = self.retrieve_entity(uow, run.entity_id)
        except NotFound:
            return
        self.handle_error(uow, entity, error, run)

    def _end_quietly(self, run: Run, error: Exception) -> None:
        with self.env.database.write() as uow:
            end(self.env, uow, run, TaskState.CANCELLED, None, visible(error, run.context.request_id))
        self._log(run, logging.INFO, str(error))

    def _hand_back(self, run: Run, error: Exception) -> None:
        with self.env.database.write() as uow:
            give_back(self.env, uow, run, delay_s=0, count_attempt=False)
        self._log(run, logging.INFO, "handed back")

    def _wait(self, run: Run, error: Exception) -> None:
        self._come_back(run, error, self.env.options.wait_retry_s, count_attempt=False)

    def _retry(self, run: Run, error: Exception) -> None:
        options = self.env.options
        delay_s = retry_delay_s(run.attempt, options.retry_base_s, options.retry_cap_s, random.random)
        self._come_back(run, error, delay_s, count_attempt=True)

    def _come_back(self, run: Run, error: Exception, delay_s: float, *, count_attempt: bool) -> None:
        shown = visible(error, run.context.request_id)
        with self.env.database.write() as uow:
            give_back(self.env, uow, run, delay_s=delay_s, count_attempt=count_attempt, error=shown)
        self._log(run, logging.WARNING, f"again in {delay_s:.1f} s: {shown}")

    def _may_wait(self, run: Run) -> bool:
        waited = self.env.clock.now() - run.first_begun_at
        return waited.total_seconds() < self.env.options.wait_limit_s

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
