"""A worker's hold on a task: taking it, giving it back, ending it. Each is one compare-and-swap."""

from __future__ import annotations

import logging
from datetime import timedelta

from protectd.common.context import RequestContext
from protectd.common.errors import ProtectdError
from protectd.common.ids import new_id
from protectd.model.models import Task
from protectd.model.unit_of_work import UnitOfWork
from protectd.tasks.env import TaskEnv
from protectd.tasks.errors import LeaseLost
from protectd.tasks.run import Run

LOG = logging.getLogger(__name__)


def claim(env: TaskEnv, operation: str, context: RequestContext, task_id: str) -> Run | None:
    """Take a task. None: it is another's, over, not due, not for this host, or not what the message says."""
    with env.database.write() as uow:
        task = uow.tasks.find(task_id)
        if task is None or not _is_meant(task, operation, context):
            return None
        claimed = _claim(uow, env, task_id)
        return None if claimed is None else Run.of(claimed, env)


def give_back_unclaimed(env: TaskEnv, task_id: str) -> None:
    """The message is used up, so let the task count as unsent: the relay tells another worker."""
    with env.database.write() as uow:
        now = env.clock.now()
        if (task := _claim(uow, env, task_id)) is not None:
            uow.tasks.requeue(task_id, task.lease_token or "", None, now, count_attempt=False)


def _claim(uow: UnitOfWork, env: TaskEnv, task_id: str) -> Task | None:
    now, lease_s = env.clock.now(), env.options.lease_s
    return uow.tasks.claim(task_id, env.owner, new_id(), lease_s, now, env.host)


def _is_meant(task: Task, operation: str, context: RequestContext) -> bool:
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
    )
    if not ended:
        raise LeaseLost(task_id=run.task_id)
