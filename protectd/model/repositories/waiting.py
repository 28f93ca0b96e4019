"""Whose turn it is: tasks that wait, in an order that is fair between projects, within limits.

Start-time fair queueing without a memory: a task's turn lies behind its project's last waiting one by the
inverse of the project's weight, and never before the first that waits at all. A project that asks for ten
thousand tasks at once delays another by one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, Row, Select, bindparam, func, or_, select, true, update
from sqlalchemy.orm import load_only

from protectd.common.errors import Unavailable
from protectd.model.errors import DatabaseContended
from protectd.model.models import Service, Task
from protectd.model.repositories.gates import GateRepository, project_gate, provider_gate
from protectd.model.repositories.leases import CLAIMABLE, TaskLeases, is_due
from protectd.model.repositories.pictures import picture
from protectd.model.states import TaskState


class NoRoom(Unavailable):
    """As many run as may; whoever wants to run waits, which costs no attempt."""

    code = "task.no_room"
    message = "{name} runs {limit} operations already, as many as it may"


@dataclass(frozen=True, slots=True)
class Limits:
    """How many tasks may run at the same time, in the whole installation; None: any number."""

    per_project: int | None = None
    per_provider: int | None = None

    def __bool__(self) -> bool:
        return self.per_project is not None or self.per_provider is not None


@dataclass(frozen=True, slots=True)
class Claimer:
    """Who takes tasks, and how.

    :ivar host: takes what is for any host or for this one.
    :ivar service_id: its row in `services`: while an operator has disabled it, it takes nothing.
    """

    owner: str
    host: str
    lease_s: float
    limits: Limits = Limits()
    service_id: int | None = None


class Announced(NamedTuple):
    """What a message says of a task, as its row has it."""

    id: str
    operation: str
    project_id: str


class TaskTurns(TaskLeases):
    def waiting(self, task_id: str) -> Announced | None:
        """A task that waits. None: there is none such."""
        found = self.session.connection().execute(_WAITING, {"id": task_id}).one_or_none()
        return None if found is None else Announced(*found)

    def give_turn(self, project_id: str, weight: float = 1.0, *, is_alone: bool = False) -> float:
        """The turn of a project's next task. Nobody else is given one of this project until the unit of work
        ends.

        :param is_alone: the caller has locked what all who ask for this project lock.
        """
        if not is_alone:
            GateRepository(self.session).lock([project_gate(project_id)])
        waiting = self.session.connection().execute(_TURNS, {"project_id": project_id}).one()
        return waiting.first or 0.0 if waiting.last is None else float(waiting.last) + 1 / weight

    def claim_next(self, by: Claimer, token: str, now: datetime, *, but: Collection[str] = ()) -> Task | None:
        """Take the task whose turn it is. None: none waits that may be run here and now.

        :param but: tasks that are not to be taken.
        :raises NoRoom: others were faster; roll back and ask again.
        """
        return self._claim(self._next(by, but), by, token, now)

    def claim_several(
        self,
        most: int,
        by: Claimer,
        token: str,
        now: datetime,
        *,
        but: Collection[str] = (),
        only_brief: bool = False,
    ) -> list[Task]:
        """Take up to `most` tasks as `claim_next` would, one after the other; they share the token. Pictures,
        in the order of their turns. Only for who keeps no limits.

        :param but: as above.
        :param only_brief: those that say of themselves that they are.
        """
        named = {"now": now, "host": by.host, "service_id": by.service_id, "most": most, "but": list(but)}
        query = _BRIEF if only_brief else _SEVERAL
        return self._take_found(self.session.connection().execute(query, named), by, token, now)

    def claim_alike(self, task_id: str, by: Claimer, token: str, now: datetime) -> list[Task]:
        """As `claim_this`, for who keeps no limits: a picture."""
        named = {"now": now, "host": by.host, "service_id": by.service_id, "id": task_id}
        return self._take_found(self.session.connection().execute(_THIS, named), by, token, now)

    def _take_found(self, rows: Iterable[Row[Any]], by: Claimer, token: str, now: datetime) -> list[Task]:
        found = [picture(Task, _BEGIN_NAMES, row) for row in rows]
        if found and not self._take_all(found, by.owner, token, by.lease_s, now):
            raise DatabaseContended(reason="a task that was locked has been taken")
        return found

    def claim_this(self, task_id: str, by: Claimer, token: str, now: datetime) -> Task | None:
        """Take this task, out of turn, within the limits. None: as above. :raises NoRoom: it has to wait."""
        return self._claim(_AS_ASKED.where(Task.id == task_id), by, token, now)

    def _claim(self, query: Select[Task], by: Claimer, token: str, now: datetime) -> Task | None:
        named = {"now": now, "host": by.host, "service_id": by.service_id}
        task = self.session.scalars(query, named).one_or_none()
        if task is None:
            return None
        self._pass_gates(task.project_id, task.provider_id, by.limits)
        return self._take(task, by.owner, token, by.lease_s, now)

    def held_back(self, host: str, now: datetime) -> Task | None:
        """The first that waits for another host than this one: whoever has made room here can tell it."""
        query = (
            select(Task)
            .where(Task.state == TaskState.PENDING, is_due(now), Task.host.is_not(None), Task.host != host)
            .order_by(Task.turn, Task.created_at)
            .limit(1)
        )
        return self.session.scalars(query).one_or_none()

    def unsend_next(self, now: datetime) -> None:
        """A message was used up without a task: let the first that waits count as unsent."""
        first = select(Task.id).where(Task.state == TaskState.PENDING, Task.sent_at.is_not(None), is_due(now))
        found = self.session.scalar(first.order_by(Task.turn, Task.created_at).limit(1))
        if found is not None:
            waits = (Task.id == found, Task.state == TaskState.PENDING)
            self.session.execute(
                update(Task).where(*waits).values(sent_at=None, updated_at=now),
                execution_options={"synchronize_session": False},
            )

    def _next(self, by: Claimer, but: Collection[str]) -> Select[Task]:
        excluded = [*self._full(by.limits), *([Task.id.not_in(list(but))] if but else [])]
        return _IN_TURN.where(*excluded) if excluded else _IN_TURN

    def _full(self, limits: Limits) -> list[ColumnElement[bool]]:
        """Leaves out the projects and providers that had no room a moment ago."""
        excluded: list[ColumnElement[bool]] = []
        for column, limit in ((Task.project_id, limits.per_project), (Task.provider_id, limits.per_provider)):
            if limit is None:
                continue
            running = select(column).where(Task.state == TaskState.RUNNING, column.is_not(None))
            full = list(self.session.scalars(running.group_by(column).having(func.count() >= limit)))
            if full:
                excluded.append(or_(column.is_(None), column.not_in(full)))
        return excluded

    def _pass_gates(self, project_id: str, provider_id: str | None, limits: Limits) -> None:
        """Count again where nobody else can: the room that is found is kept until the unit of work ends.

        :raises NoRoom: there is none.
        """
        gates: dict[str, tuple[ColumnElement[bool], int]] = {}
        if limits.per_project is not None:
            gates[project_gate(project_id)] = (Task.project_id == project_id, limits.per_project)
        if limits.per_provider is not None and provider_id is not None:
            gates[provider_gate(provider_id)] = (Task.provider_id == provider_id, limits.per_provider)
        GateRepository(self.session).lock(gates)
        for name, (is_of, limit) in gates.items():
            running = select(func.count()).select_from(Task).where(Task.state == TaskState.RUNNING, is_of)
            if (self.session.scalar(running) or 0) >= limit:
                raise NoRoom(name=name, limit=limit)


_TASKS = Task.__table__.c
_WAITING = select(_TASKS.id, _TASKS.operation, _TASKS.project_id).where(
    _TASKS.id == bindparam("id"), _TASKS.state == TaskState.PENDING
)
_PENDING = _TASKS.state == TaskState.PENDING
_OWN = _TASKS.project_id == bindparam("project_id")
_TURNS = select(
    select(func.max(_TASKS.turn)).where(_OWN, _PENDING).scalar_subquery().label("last"),
    select(func.min(_TASKS.turn)).where(_PENDING).scalar_subquery().label("first"),
)
"""The last one of a project that waits, and the first that waits at all."""

_DISABLED = select(Service.id).where(Service.id == bindparam("service_id"), Service.disabled.is_(True))
_BEGIN_COLUMNS = (
    Task.id,
    Task.operation,
    Task.method,
    Task.project_id,
    Task.user_id,
    Task.request_id,
    Task.roles,
    Task.entity_type,
    Task.entity_id,
    Task.provider_id,
    Task.host,
    Task.attempts,
    Task.max_attempts,
    Task.not_before,
    Task.cancel_requested_at,
    Task.marks,
    Task.counted,
    Task.brief,
    Task.started_at,
    Task.created_at,
)
"""Every column of a row is work for the driver. What the claim writes is known too."""

_BEGIN_NAMES = [column.key for column in _BEGIN_COLUMNS]
_MAY_GO = (*CLAIMABLE, ~_DISABLED.exists())

_OPEN = (
    select(Task).where(*_MAY_GO).options(load_only(*_BEGIN_COLUMNS)).execution_options(populate_existing=True)
)
_AS_ASKED = _OPEN.with_for_update()
_IN_TURN = _OPEN.order_by(Task.turn, Task.created_at).limit(1).with_for_update(skip_locked=True)
_SEVERAL = (
    select(*(_TASKS[name] for name in _BEGIN_NAMES))
    .where(*_MAY_GO, _TASKS.id.not_in(bindparam("but", expanding=True)))
    .order_by(_TASKS.turn, _TASKS.created_at)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True)
)
_BRIEF = _SEVERAL.where(_TASKS.brief == true())  # of IS TRUE, MariaDB makes no use in an index
_THIS = (
    select(*(_TASKS[name] for name in _BEGIN_NAMES))
    .where(*_MAY_GO, _TASKS.id == bindparam("id"))
    .with_for_update()
)
"""Built once: to build a statement takes longer than to send it."""
