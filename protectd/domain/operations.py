"""Operations as their owners see them: tasks that can be asked to end."""

from __future__ import annotations

from datetime import datetime

from protectd.common.errors import Conflict
from protectd.model.models import Restore, Task, Verification
from protectd.model.unit_of_work import UnitOfWork


class OperationEnded(Conflict):
    code = "operation.ended"
    message = "operation {operation_id} has ended; it is {state}"


def cancel(uow: UnitOfWork, task: Task, now: datetime) -> None:
    """Ask for the end of what waits or runs. Whoever does it sees it within seconds; what waits is ended by
    the engine. Safe to repeat: the first moment stays.

    :raises OperationEnded: it is too late.
    """
    if not uow.tasks.request_cancel(task.id, now):
        raise OperationEnded(operation_id=task.id, state=task.state)


def cancel_run(uow: UnitOfWork, run: Restore | Verification, now: datetime) -> Task:
    """As `cancel`. :returns: the task that does it."""
    task = uow.tasks.of_entities(run.kind, [run.id]).get(run.id)
    if task is None:
        raise OperationEnded(operation_id=run.id, state=run.status)
    cancel(uow, task, now)
    return task
