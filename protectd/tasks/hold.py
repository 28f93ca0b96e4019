"""A worker's hold on a task: taking it, giving it back, ending it. Each is one compare-and-swap."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from protectd.common.context import RequestContext
from protectd.common.errors import ProtectdError
from protectd.common.ids import new_id
from protectd.domain import quota
from protectd.model.models import Task
from protectd.model.repositories.waiting import Announced, NoRoom
from protectd.model.unit_of_work import UnitOfWork
from protectd.tasks.env import TaskEnv
from protectd.tasks.errors import BeginFailed, LeaseLost
from protectd.tasks.run import Run

LOG = logging.getLogger(__name__)

RIVALS = 10
"""So often others may take the last room before this one ceases to ask; their end gives it away anew."""

Take = Callable[[UnitOfWork], Task | None]
Begin = Callable[[UnitOfWork, Run], None]
"""Has a run begin in the unit of work that has claimed it. :raises BeginFailed: nothing of both may stay."""


def claim(env: TaskEnv, begin: Begin, operation: str, context: RequestContext, task_id: str) -> Run | None:
    """Take the task that a message is about or, where tasks go by turns, the one whose turn it is.

    None: there is nothing to do here: it is another's, over, not due, not for this host, has to wait for
    room, or is not what the message says.
    """
    announced = env.database.ask(lambda uow: uow.tasks.waiting(task_id))
    if announced is None or not _is_meant(announced, operation, context):
        return None
    # A look for turns passes over rows that others hold, such as who notes just now that this one was sent.
    return (claim_next(env, begin) if env.in_turn else None) or _claim_this(env, begin, task_id)


def claim_next(env: TaskEnv, begin: Begin) -> Run | None:
    """Take the task whose turn it is. None: none waits that may be run here and now."""
    for _ in range(RIVALS):
        try:
            return _claim(env, begin, lambda uow: take_next(env, uow))
        except NoRoom as error:
            LOG.debug("%s", error)
    return None


def take_next(env: TaskEnv, uow: UnitOfWork) -> Task | None:
    """:raises NoRoom: others were faster."""
    return uow.tasks.claim_next(env.claimer, new_id(), env.clock.now(), but=env.hands.held())


def _claim_this(env: TaskEnv, begin: Begin, task_id: str) -> Run | None:
    if task_id in env.hands.held():
        return None
    try:
        return _claim(
            env, begin, lambda uow: uow.tasks.claim_this(task_id, env.claimer, new_id(), env.clock.now())
        )
    except NoRoom as error:
        LOG.log(logging.DEBUG if env.in_turn else logging.INFO, "task %s waits: %s", task_id, error)
        return None


def _claim(env: TaskEnv, begin: Begin, take: Take) -> Run | None:
    """Claim and begin in one transaction; what cannot begin is claimed alone, and its attempt says why."""
    try:
        run = _claimed(env, begin, take)
    except BeginFailed as failed:
        LOG.debug("%s", failed)
        run = _claimed(env, _not_yet, take)
    if run is not None:
        count_claim(env, run)
    return run


def _claimed(env: TaskEnv, begin: Begin, take: Take) -> Run | None:
    with env.database.write() as uow:
        task = take(uow)
        return None if task is None else begun(env, begin, uow, task)


def begun(env: TaskEnv, begin: Begin, uow: UnitOfWork, task: Task) -> Run:
    """The run of a task that this unit of work has claimed."""
    run = Run.of(task, env)
    begin(uow, run)
    return run


def _not_yet(uow: UnitOfWork, run: Run) -> None:
    """Begin later."""


def count_claim(env: TaskEnv, run: Run) -> None:
    """After the commit."""
    env.metrics.task_claimed(run.operation, run.waited_s)


def give_back_unclaimed(env: TaskEnv) -> None:
    """A message is used up, so let a task that waits count as unsent: the relay tells another worker."""
    with env.database.write() as uow:
        uow.tasks.unsend_next(env.clock.now())


def _is_meant(task: Announced, operation: str, context: RequestContext) -> bool:
    if task.operation == operation and task.project_id == context.project_id:
        return True
    LOG.warning("task %s (request %s): the message does not fit, nothing done", task.id, context.request_id)
    return False


def give_back(
    env: TaskEnv,
    uow: UnitOfWork,
    run: Run,
    *,
    delay_s: float,
    count_attempt: bool,
    error: ProtectdError | None = None,
) -> None:
    """Let the task be run again, `delay_s` from now at the earliest.

    :raises LeaseLost: it is not ours to give.
    """
    now = env.clock.now()
    given = uow.tasks.requeue(
        run.task_id,
        run.token,
        now + timedelta(seconds=delay_s),
        now,
        error_code=error.code if error else None,
        error_message=str(error) if error else None,
        count_attempt=count_attempt,
    )
    if not given:
        raise LeaseLost(task_id=run.task_id)


def end(
    env: TaskEnv,
    uow: UnitOfWork,
    run: Run,
    state: str,
    outcome: str | None,
    error: ProtectdError | None = None,
    *,
    simulated: bool = False,
) -> None:
    """End the task. First in its transaction: whoever else would end it waits here and finds it ended.

    :raises LeaseLost: it is another's, or ended; the transaction must not go on.
    """
    ended = uow.tasks.finish(
        run.task_id,
        run.token,
        state,
        env.clock.now(),
        outcome=outcome,
        error_code=error.code if error else None,
        error_message=str(error) if error else None,
        progress=run.progress.picture(),
        simulated=simulated,
    )
    if not ended:
        raise LeaseLost(task_id=run.task_id)


def give_operation(uow: UnitOfWork, run: Run) -> None:
    """The project may run another. Last of what the transaction that ends the task says of quotas."""
    if run.counted:
        quota.give(uow, run.context.project_id, operations=1)
