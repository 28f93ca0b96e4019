"""Leases on tasks: who holds one, until when, and what becomes of one whose holder is gone.

Every change is one UPDATE that names what it expects, so any number of workers and reconcilers may try the
same at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, CursorResult, and_, bindparam, func, literal, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from protectd.common.ids import new_id
from protectd.model.base import UTCDateTime
from protectd.model.models import Task
from protectd.model.repositories.base import Repository
from protectd.model.states import TaskState, move, move_all, swap

Hold = Literal["held", "lost", "cancel", "late"]

_OVER = {"lease_owner": None, "lease_expires_at": None}
"""The token stays in a row that its holder has ended, and tells so."""

_FREE = {**_OVER, "lease_token": None}


Moment = datetime | ColumnElement[datetime]
Name = str | None | ColumnElement[str]


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as it was seen. One that is kept changes with each renewal.

    :ivar expires_at: None: its holder is known to be dead.
    """

    task_id: str
    token: str | None
    expires_at: datetime | None


class TaskLeases(Repository[Task]):
    """`now` is the caller's clock; lengths of time in seconds."""

    def claim(
        self, task_id: str, owner: str, token: str, lease_s: float, now: datetime, host: str | None
    ) -> Task | None:
        """Take a pending task that is due and meant for `host` (or any). None: another has it, or it is not
        to be run now. The attempt counts from here."""
        named = {"id": task_id, "now": now, "host": host}
        task = self.session.scalars(_TO_CLAIM, named).one_or_none()
        return None if task is None else self._take(task, owner, token, lease_s, now)

    def _take(self, task: Task, owner: str, token: str, lease_s: float, now: datetime) -> Task | None:
        """:param task: pending; its row is locked."""
        won = move(
            self.session,
            Task,
            task.id,
            TaskState.PENDING,
            TaskState.RUNNING,
            lease_owner=owner,
            lease_token=token,
            lease_expires_at=now + timedelta(seconds=lease_s),
            attempts=task.attempts + 1,
            started_at=task.started_at or now,
            updated_at=now,
        )
        return task if won else None

    def _take_all(self, tasks: Sequence[Task], owner: str, token: str, lease_s: float, now: datetime) -> bool:
        """:param tasks: pending, pictures that then show it; their rows are locked."""
        lease = {"lease_owner": owner, "lease_token": token}
        until, taken = now + timedelta(seconds=lease_s), 0
        for (attempts, started_at), alike in _by_history(tasks).items():
            values: dict[str, Any] = {"attempts": attempts + 1, "started_at": started_at or now, **lease}
            taken += move_all(
                self.session,
                Task,
                "id",
                [task.id for task in alike],
                TaskState.PENDING,
                TaskState.RUNNING,
                lease_expires_at=until,
                updated_at=now,
                **values,
            )
            for task in alike:
                vars(task).update(values)
        return taken == len(tasks)

    def renew(
        self, task_id: str, token: str, now: datetime, lease_s: float, progress: dict[str, Any] | None = None
    ) -> Hold:
        """Keep a claimed task for another `lease_s`.

        :returns: `lost`: it is another's by now, or over; `cancel`: it is held, and was asked to end; `late`:
            it is held, and its deadline is over.
        """
        values: dict[str, Any] = {"lease_expires_at": now + timedelta(seconds=lease_s), "updated_at": now}
        if progress is not None:
            values["progress"] = progress
        if not swap(self.session, Task, task_id, _held(token), values):
            return "lost"
        query = select(Task.cancel_requested_at, Task.deadline_at).where(Task.id == task_id)
        cancel_requested_at, deadline_at = self.session.execute(query).one()
        if cancel_requested_at is not None:
            return "cancel"
        return "late" if deadline_at is not None and deadline_at <= now else "held"

    def keep_marks(self, task_id: str, token: str, marks: list[str], now: datetime) -> bool:
        """Write what the work of a claimed task has begun. False: the lease is lost, so it must not begin."""
        values = {"marks": marks, "updated_at": now}
        return swap(self.session, Task, task_id, _held(token), values)

    def finish(
        self,
        task_id: str,
        token: str,
        state: str,
        now: datetime,
        *,
        outcome: str | None = None,
        error_code: str | None = None,
        error_message: str | None = None,
        progress: dict[str, Any] | None = None,
        simulated: bool = False,
    ) -> bool:
        """End a claimed task as done, failed or cancelled. False: the lease is lost, so roll back."""
        values: dict[str, Any] = {"error_code": error_code, "error_message": error_message, **_OVER}
        if progress is not None:
            values["progress"] = progress
        if simulated:
            values["simulated"] = True
        return self._leave(task_id, token, state, now, outcome=outcome, ended_at=now, **values)

    def finish_all(
        self, task_ids: Collection[str], token: str, now: datetime, *, outcome: str, simulated: bool
    ) -> bool:
        """End tasks that were claimed together as done. False: the lease of one is lost, so roll back."""
        ended = move_all(
            self.session,
            Task,
            "id",
            task_ids,
            TaskState.RUNNING,
            TaskState.DONE,
            like={"lease_token": token},
            outcome=outcome,
            simulated=simulated,
            ended_at=now,
            updated_at=now,
            error_code=None,
            error_message=None,
            **_OVER,
        )
        return ended == len(task_ids)

    def was_finished(self, task_id: str, token: str) -> bool:
        """Whether who held it with this token has ended it. Waits for whoever is just doing so: a server may
        be at work on a commit though nobody hears its answer."""
        ended = (Task.id == task_id, Task.lease_token == token, Task.ended_at.is_not(None))
        return self.session.scalar(select(Task.id).where(*ended).with_for_update()) is not None

    def requeue(
        self,
        task_id: str,
        token: str,
        not_before: datetime | None,
        now: datetime,
        *,
        error_code: str | None = None,
        error_message: str | None = None,
        count_attempt: bool = True,
    ) -> bool:
        """Give a claimed task back, to be run at `not_before`. False: the lease is lost.

        :param count_attempt: false where the run was broken off through no fault of its own.
        """
        values: dict[str, Any] = {"error_code": error_code, "error_message": error_message}
        if not count_attempt:
            values["attempts"] = Task.attempts - 1
        return self._leave(task_id, token, TaskState.PENDING, now, **_waiting(not_before or now), **values)

    def leases(self) -> list[Lease]:
        """Of all running tasks, as they are now."""
        query = select(Task.id, Task.lease_token, Task.lease_expires_at)
        found = self.session.execute(query.where(Task.state == TaskState.RUNNING))
        return [Lease(*row) for row in found]

    def held(self, leases: Collection[Lease]) -> list[Task]:
        """The tasks of some leases that have not changed since, save those that another is just changing."""
        same = [
            and_(Task.id == lease.task_id, Task.lease_token == lease.token, _expires(lease.expires_at))
            for lease in leases
        ]
        if not same:
            return []
        query = select(Task).where(Task.state == TaskState.RUNNING, or_(*same)).order_by(Task.created_at)
        return self.all(query.with_for_update(skip_locked=True))

    def cancelled_waiting(self, now: datetime, limit: int) -> list[Task]:
        """Tasks that wait, though they were asked to end."""
        asked = (Task.state == TaskState.PENDING, Task.cancel_requested_at.is_not(None))
        return self.all(select(Task).where(*asked).order_by(Task.cancel_requested_at).limit(limit))

    def overdue_waiting(self, now: datetime, limit: int) -> list[Task]:
        """Tasks that wait, though their deadline is over."""
        late = (Task.state == TaskState.PENDING, Task.deadline_at <= now)
        return self.all(select(Task).where(*late).order_by(Task.deadline_at).limit(limit))

    def release_lost(self, task: Task, now: datetime) -> bool:
        """Back to pending, if it is still held by the lease that `task` was read with."""
        return self._leave_lost(task, TaskState.PENDING, now, **_waiting(now))

    def end_unheld(
        self,
        task: Task,
        state: str,
        now: datetime,
        *,
        outcome: str | None,
        error_code: str,
        error_message: str,
    ) -> bool:
        """To failed or cancelled, if it still waits, or is still held by a lost lease, as it was read."""
        ended: dict[str, Any] = {
            "outcome": outcome,
            "error_code": error_code,
            "error_message": error_message,
            "ended_at": now,
        }
        if task.state == TaskState.RUNNING:
            return self._leave_lost(task, state, now, **ended, **_FREE)
        return move(self.session, Task, task.id, TaskState.PENDING, state, updated_at=now, **ended)

    def request_cancel(self, task_id: str, now: datetime) -> bool:
        """Ask a waiting or running task to end. False: it is over. Safe to repeat: the first moment stays."""
        lives = Task.state.in_((TaskState.PENDING, TaskState.RUNNING))
        values = {"cancel_requested_at": _first(Task.cancel_requested_at, now), "updated_at": now}
        return swap(self.session, Task, task_id, [lives], values)

    def fence_owner(self, owner_prefix: str, now: datetime, *, keep: str | None = None) -> int:
        """End the leases of owners whose name starts so: a former boot of this process, known to be dead.

        Their tokens are void at once and their leases are at their end. Tasks loaded before do not show it.

        :param keep: the owner of this boot.
        :returns: how many tasks.
        """
        owned = [Task.lease_owner.startswith(owner_prefix, autoescape=True), Task.lease_owner != (keep or "")]
        statement = (
            update(Task)
            .where(Task.state == TaskState.RUNNING, *owned)
            .values(lease_token=new_id(), lease_expires_at=None, updated_at=now)
            .execution_options(synchronize_session=False)
        )
        self.session.flush()
        return cast("CursorResult[Any]", self.session.execute(statement)).rowcount

    def _leave(self, task_id: str, token: str, target: str, now: datetime, **values: Any) -> bool:
        where = (Task.lease_token == token,)
        values["updated_at"] = now
        return move(self.session, Task, task_id, TaskState.RUNNING, target, where=where, **values)

    def _leave_lost(self, task: Task, target: str, now: datetime, **values: Any) -> bool:
        where = (Task.lease_token == task.lease_token, _expires(task.lease_expires_at))
        values["updated_at"] = now
        return move(self.session, Task, task.id, TaskState.RUNNING, target, where=where, **values)


def _expires(moment: datetime | None) -> ColumnElement[bool]:
    return Task.lease_expires_at.is_(None) if moment is None else Task.lease_expires_at == moment


def is_due(now: Moment) -> ColumnElement[bool]:
    return or_(Task.not_before.is_(None), Task.not_before <= now)


def is_here(host: Name) -> ColumnElement[bool]:
    return or_(Task.host.is_(None), Task.host == host)


CLAIMABLE = (
    Task.state == TaskState.PENDING,
    is_due(bindparam("now", type_=UTCDateTime())),
    is_here(bindparam("host")),
)
"""Asks for `now` and `host` by name."""

_TO_CLAIM = (
    select(Task)
    .where(Task.id == bindparam("id"), *CLAIMABLE)
    .with_for_update()
    .execution_options(populate_existing=True)
)


def _by_history(tasks: Sequence[Task]) -> Mapping[tuple[int, datetime | None], list[Task]]:
    alike = defaultdict(list)
    for task in tasks:
        alike[task.attempts, task.started_at].append(task)
    return alike


def _first(column: InstrumentedAttribute[datetime | None], now: datetime) -> ColumnElement[Any]:
    """What the column has, or `now`."""
    return func.coalesce(column, literal(now, UTCDateTime()))


def _held(token: str) -> tuple[ColumnElement[bool], ...]:
    return (Task.state == TaskState.RUNNING, Task.lease_token == token)


def _waiting(not_before: datetime) -> dict[str, Any]:
    return {"not_before": not_before, "sent_at": None, "sent_count": 0, **_FREE}
