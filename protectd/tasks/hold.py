"""A worker's hold on a task: taking it, giving it back, ending it. Each is one compare-and-swap."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta

from protectd.common.context import RequestContext
from protectd.common.errors import ProtectdError
from protectd.common.ids import new_id
from protectd.domain import quota
from protectd.model.models import Task
from protectd.model.repositories.waiting import Announced, NoRoom
from protectd.model.unit_of_work import UnitOfWork
from protectd.queue.contract import NO_HINT, Hint
from protectd.tasks.env import TaskEnv
from protectd.tasks.errors import BeginFailed, LeaseLost, NotKnown
from protectd.tasks.run import Run

LOG = logging.getLogger(__name__)

RIVALS = 10
"""So often others may take the last room before this one ceases to ask; their end gives it away anew."""

TOGETHER = 32
"""As many tasks that go together are taken at a time: enough that each costs little, and so few that the
last of them does not wait longer than some milliseconds for the first."""

Take = Callable[[UnitOfWork], list[Task]]
Begin = Callable[[UnitOfWork, list[Run]], None]
"""Has runs begin in the unit of work that has claimed them.

:raises BeginFailed: nothing of both may stay.
:raises NotKnown: one of them is for others; it is not taken again.
"""


def claim(
    env: TaskEnv,
    begin: Begin,
    operation: str,
    context: RequestContext,
    task_id: str,
    hint: Hint = NO_HINT,
) -> list[Run]:
    """Take the task that a message is about or, where tasks go by turns, those whose turn it is.

    :param hint: of the latter, only those that are brief where it says that this one is: who has a message of
        something else is to do that. Where it speaks of others, they are looked for whatever has become of
        this one.
    :returns: none where there is nothing to do here: it is another's, over, not due, not for this host, has
        to wait for room, or is not what the message says.
    """
    is_known = env.in_turn and env.hands.knows(task_id)
    if is_known and not hint.others:
        return []
    # What is brief is there as a rule, and is taken without a look at what the message names.
    taken = claim_next(env, begin, only_brief=hint.brief) if _goes_first(env, hint) else []
    if taken or is_known:
        return taken
    announced = env.database.ask(lambda uow: uow.tasks.waiting(task_id))
    if announced is None or not _is_meant(announced, operation, context):
        return []
    # A look for turns passes over rows that others hold, such as who notes just now that this one was sent.
    if env.in_turn and not _goes_first(env, hint):
        taken = claim_next(env, begin)
    return taken or _claim_this(env, begin, task_id)


def _goes_first(env: TaskEnv, hint: Hint) -> bool:
    return env.in_turn and (hint.brief or hint.others)


def claim_next(env: TaskEnv, begin: Begin, *, only_brief: bool = False) -> list[Run]:
    """Take the task whose turn it is, or several of those that go together, if any may run here and now.

    :param only_brief: what takes longer is left to others.
    """
    for _ in range(RIVALS):
        try:
            return _claim(env, begin, lambda uow: take_next(env, uow, only_brief=only_brief))
        except (NoRoom, NotKnown) as error:
            LOG.debug("%s", error)
    return []


def take_next(env: TaskEnv, uow: UnitOfWork, *, only_brief: bool = False) -> list[Task]:
    """Where the first is brief, others that are go with it.

    :raises NoRoom: others were faster.
    """
    now, but, token = env.clock.now(), env.hands.passes_over(), new_id()
    if only_brief or env.all_go_together:
        narrowed = not env.all_go_together
        return uow.tasks.claim_several(TOGETHER, env.claimer, token, now, but=but, only_brief=narrowed)
    first = uow.tasks.claim_next(env.claimer, token, now, but=but)
    if first is None or not env.goes_together(first.brief):
        return _listed(first)
    most = TOGETHER - 1
    return [first, *uow.tasks.claim_several(most, env.claimer, token, now, but=but, only_brief=True)]


def _take_this(env: TaskEnv, uow: UnitOfWork, task_id: str) -> list[Task]:
    now = env.clock.now()
    if env.all_go_together:
        return uow.tasks.claim_alike(task_id, env.claimer, new_id(), now)
    return _listed(uow.tasks.claim_this(task_id, env.claimer, new_id(), now))


def _listed(task: Task | None) -> list[Task]:
    return [] if task is None else [task]


def _claim_this(env: TaskEnv, begin: Begin, task_id: str) -> list[Run]:
    if task_id in env.hands.held():
        return []
    try:
        return _claim(env, begin, lambda uow: _take_this(env, uow, task_id))
    except (NoRoom, NotKnown) as error:
        LOG.log(logging.DEBUG if env.in_turn else logging.INFO, "task %s waits: %s", task_id, error)
        return []


def _claim(env: TaskEnv, begin: Begin, take: Take) -> list[Run]:
    """Claim and begin in one transaction; what cannot begin is claimed alone, and its attempt says why."""
    try:
        runs = _claimed(env, begin, take)
    except BeginFailed as failed:
        LOG.debug("%s", failed)
        runs = _claimed(env, _not_yet, take)
    count_claims(env, runs)
    return runs


def _claimed(env: TaskEnv, begin: Begin, take: Take) -> list[Run]:
    with env.database.write() as uow:
        return begun(env, begin, uow, take(uow))


def begun(env: TaskEnv, begin: Begin, uow: UnitOfWork, tasks: Sequence[Task]) -> list[Run]:
    """The runs of tasks that this unit of work has claimed."""
    runs = [Run.of(task, env) for task in tasks]
    begin(uow, runs)
    return runs


def _not_yet(uow: UnitOfWork, runs: list[Run]) -> None:
    """Begin later."""


def count_claims(env: TaskEnv, runs: Sequence[Run]) -> None:
    """After the commit."""
    for run in runs:
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


def end_all(env: TaskEnv, uow: UnitOfWork, runs: Sequence[Run], outcome: str, *, simulated: bool) -> None:
    """End tasks that were claimed together as done, and none of which has reported progress.

    :raises LeaseLost: of one of them; the transaction must not go on.
    """
    ids = [run.task_id for run in runs]
    if not uow.tasks.finish_all(ids, runs[0].token, env.clock.now(), outcome=outcome, simulated=simulated):
        raise LeaseLost(task_id=f"among {len(ids)}")


def give_operations(uow: UnitOfWork, runs: Sequence[Run]) -> None:
    """Each project may run as many others. Last of what the transaction that ends them says of quotas."""
    counted = Counter(run.context.project_id for run in runs if run.counted)
    for project_id in sorted(counted):
        quota.give(uow, project_id, operations=counted[project_id])
