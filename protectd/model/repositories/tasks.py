"""Tasks: which wait for a message, which belong to an entity, and the history that users see."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select, update

from protectd.common.errors import NotFound
from protectd.common.metrics import Backlog
from protectd.model.base import UTCDateTime
from protectd.model.models import Task
from protectd.model.repositories.base import Filter, Page
from protectd.model.repositories.filters import exact
from protectd.model.repositories.leases import is_due
from protectd.model.repositories.logged import has_logged_status
from protectd.model.repositories.pictures import Pictures
from protectd.model.repositories.waiting import TaskTurns
from protectd.model.states import TaskState, swap

LOGGED_OPERATIONS = ("protect", "restore", "verify", "copy", "delete")
ENTITY_TYPES = ("checkpoint", "restore", "verification", "vault")
RESEND_DOUBLINGS = 3
"""Each sending doubles the wait for the next, up to 2 ** this: a long queue is not flooded with repeats."""


def _is_about(entity_type: str) -> Filter:
    """By the index of entities: only what is done to one names it."""
    return lambda id: and_(Task.entity_type == entity_type, Task.entity_id == id)


class TaskNotFound(NotFound):
    code = "task.not_found"
    message = "task {id} is not there"


class TaskRepository(TaskTurns):
    """`now` is the caller's clock; lengths of time in seconds."""

    model = Task
    not_found = TaskNotFound
    sort_keys = ("id", "status", "created_at", "updated_at", "started_at", "ended_at")
    columns = {"status": "outcome"}
    pictures = Pictures(Task)
    equal = {"status": "outcome", "operation_type": "operation"}
    filters = {
        "status": has_logged_status,
        "state": exact(Task.state),
        "operation": exact(Task.operation),
        "operation_type": exact(Task.operation),
        "checkpoint_id": exact(Task.checkpoint_id),
        "plan_id": exact(Task.plan_id),
        "provider_id": exact(Task.provider_id),
        "restore_id": _is_about("restore"),
        "verification_id": _is_about("verification"),
        "scheduled_operation_id": exact(Task.scheduled_operation_id),
    }

    def unsent(self, now: datetime, grace_s: float, limit: int, *, young_s: float = 1.0) -> list[Task]:
        """Due tasks that no message is known to be on its way for: never sent, or sent and not claimed. In
        the order of their turns. What another engine is just taking is left out.

        :param grace_s: how long a message may take; doubled with each sending.
        :param young_s: tasks younger than this are left to the request that made them.
        """
        fresh = or_(Task.not_before.is_not(None), Task.created_at <= now - timedelta(seconds=young_s))
        return self.all(
            select(Task)
            .where(Task.state == TaskState.PENDING, is_due(now))
            .where(or_(and_(Task.sent_at.is_(None), fresh), _overdue(now, grace_s)))
            .order_by(Task.turn, Task.created_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )

    def take_unsent(self, now: datetime, grace_s: float, limit: int, *, young_s: float = 1.0) -> list[Task]:
        """As `unsent`, and marked as sent: no other engine sends them too."""
        found = self.unsent(now, grace_s, limit, young_s=young_s)
        if found:
            statement = (
                update(Task)
                .where(Task.id.in_([task.id for task in found]))
                .values(sent_at=now, sent_count=Task.sent_count + 1, updated_at=now)
            )
            self.session.execute(statement, execution_options={"synchronize_session": False})
        return found

    def unsend(self, task_ids: Collection[str], now: datetime) -> None:
        """Take the mark back that `take_unsent` made at `now`: they were not sent after all."""
        marked = (Task.id.in_(list(task_ids)), Task.state == TaskState.PENDING, Task.sent_at == now)
        statement = update(Task).where(*marked).values(sent_at=None, sent_count=Task.sent_count - 1)
        self.session.execute(statement, execution_options={"synchronize_session": False})

    def mark_sent(self, task_id: str, sent_at: datetime) -> bool:
        """False: it is not pending any more, or something has come of it since, such as a worker that gave
        it back; it needs no mark then."""
        untouched = (Task.state == TaskState.PENDING, Task.updated_at <= sent_at)
        values = {"sent_at": sent_at, "sent_count": Task.sent_count + 1, "updated_at": sent_at}
        return swap(self.session, Task, task_id, untouched, values)

    def mark_all_sent(self, marks: Collection[tuple[str, datetime]]) -> None:
        """As `mark_sent`. As a rule all of them were taken by now: that costs one look."""
        waits = (Task.id.in_([task_id for task_id, _ in marks]), Task.state == TaskState.PENDING)
        waiting = set(self.session.scalars(select(Task.id).where(*waits)))
        for task_id, sent_at in marks:
            if task_id in waiting:
                self.mark_sent(task_id, sent_at)

    def backlog(self, now: datetime) -> Backlog:
        """How many tasks wait and run. One statement that reads no ended one."""
        waits = and_(Task.state == TaskState.PENDING, is_due(now))
        since = case((waits, func.coalesce(Task.not_before, Task.created_at)))
        columns = (func.count(), func.count(since), func.min(since, type_=UTCDateTime()))
        live = Task.state.in_((TaskState.PENDING, TaskState.RUNNING))
        rows = self.session.execute(select(Task.state, *columns).where(live).group_by(Task.state))
        found = {state: (total, due, oldest) for state, total, due, oldest in rows}
        pending, due, oldest = found.get(TaskState.PENDING, (0, 0, None))
        oldest_s = 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds())
        return Backlog(due, pending - due, found.get(TaskState.RUNNING, (0,))[0], oldest_s)

    def live(self, entity_type: str, entity_id: str) -> list[Task]:
        """Tasks of one entity that wait or run, oldest first."""
        return self.all(
            select(Task)
            .where(Task.entity_type == entity_type, Task.entity_id == entity_id)
            .where(Task.state.in_((TaskState.PENDING, TaskState.RUNNING)))
            .order_by(Task.created_at, Task.id)
        )

    def newest_ended(self, entity_type: str, entity_id: str, operation: str) -> Task | None:
        """The last task of this kind that is over."""
        query = select(Task).where(Task.entity_type == entity_type, Task.entity_id == entity_id)
        over = (Task.operation == operation, Task.ended_at.is_not(None))
        return self.session.scalars(query.where(*over).order_by(Task.ended_at.desc()).limit(1)).one_or_none()

    def live_of(self, entity_ids: Collection[str]) -> set[tuple[str, str]]:
        """Kind and id of those of some entities that have a task that waits or runs; one statement."""
        if not entity_ids:
            return set()
        query = (
            select(Task.entity_type, Task.entity_id)
            .where(Task.entity_type.in_(ENTITY_TYPES), Task.entity_id.in_(entity_ids))
            .where(Task.state.in_((TaskState.PENDING, TaskState.RUNNING)))
        )
        return {(kind, id) for kind, id in self.session.execute(query)}

    def of_entities(self, entity_type: str, entity_ids: list[str]) -> dict[str, Task]:
        """The newest task of each entity, by entity id; one statement."""
        found = self.all(
            select(Task)
            .where(Task.entity_type == entity_type, Task.entity_id.in_(entity_ids))
            .order_by(Task.created_at, Task.id)
        )
        return {task.entity_id: task for task in found}

    def history(
        self, page: Page, project_id: str | None = None, filters: Mapping[str, Any] | None = None
    ) -> list[Task]:
        """A page of what users asked for: protect, restore, verify, copy and delete."""
        return self.page(page, project_id, filters)

    def get_logged(self, task_id: str, project_id: str | None = None) -> Task:
        """:raises TaskNotFound: none such, or not one that `history` shows."""
        found = self.get(task_id, project_id)
        if found.operation not in LOGGED_OPERATIONS:
            raise TaskNotFound(id=task_id)
        return found

    def listed(self, project_id: str | None, filters: Mapping[str, Any]) -> Select[Task]:
        return super().listed(project_id, filters).where(Task.operation.in_(LOGGED_OPERATIONS))


def _overdue(now: datetime, grace_s: float) -> ColumnElement[bool]:
    waits = [timedelta(seconds=grace_s * 2**doubling) for doubling in range(RESEND_DOUBLINGS + 1)]
    stages = [
        and_(Task.sent_count <= count, Task.sent_at <= now - wait)
        for count, wait in enumerate(waits, start=1)
    ]
    return or_(*stages, Task.sent_at <= now - waits[-1])
