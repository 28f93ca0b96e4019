"""Removing for good what nobody has needed for long: deleted rows, ended tasks, keys of requests.

Tables are walked by their primary keys, a batch a transaction: each reads and locks a bounded number of rows,
however large the table, and breaking off loses nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, Select, and_, delete, exists, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from protectd.domain.occurrences import WAITING
from protectd.model.models import (
    Acl,
    AclUser,
    Checkpoint,
    CheckpointResource,
    Container,
    ContainerConsumer,
    ContainerSecret,
    IdempotencyKey,
    Instance,
    Occurrence,
    Order,
    Plan,
    PlanResource,
    Restore,
    ScheduledOperation,
    Secret,
    SecretConsumer,
    SecretMetadata,
    Service,
    Task,
    Trigger,
    Vault,
    Verification,
)
from protectd.model.states import TaskState
from protectd.model.unit_of_work import Database

BATCH = 1000
ENDED = (TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED)

Ids = Collection[Any]
Needs = Callable[[Ids], Select[Any]]


@dataclass(frozen=True, slots=True)
class Rule:
    """Which rows of a table may go.

    :ivar over: whether a row was over before a moment.
    :ivar needs: each asks which of some ids a living row still refers to.
    :ivar parts: columns of other tables by which rows belong to one of this: they go with it.
    """

    model: Any
    over: Callable[[datetime], ColumnElement[bool]]
    needs: Sequence[Needs] = ()
    parts: Sequence[InstrumentedAttribute[Any]] = ()


def _deleted(model: Any) -> Callable[[datetime], ColumnElement[bool]]:
    """By the moment: a deleted checkpoint is found by clients, so it has no mark."""
    return lambda before: model.deleted_at < before


def _run_over(model: type[Restore] | type[Verification]) -> Callable[[datetime], ColumnElement[bool]]:
    """It has ended, and what it was of is gone: till then it tells what was proved, or brought back."""

    def over(before: datetime) -> ColumnElement[bool]:
        kept = or_(Checkpoint.deleted_at.is_(None), Checkpoint.deleted_at >= before)
        there = exists().where(Checkpoint.id == model.checkpoint_id, kept)
        return or_(model.deleted_at < before, and_(model.ended_at < before, ~there))

    return over


def _by_living(column: InstrumentedAttribute[Any], *alive: ColumnElement[bool]) -> Needs:
    return lambda ids: select(column).where(column.in_(ids), *alive)


def _by_tasks(column: InstrumentedAttribute[Any]) -> Needs:
    return _by_living(column, Task.state.not_in(ENDED))


def _by_checkpoints(ids: Ids) -> Select[Any]:
    """Their resources tell which instance they are of."""
    living = and_(Checkpoint.id == CheckpointResource.checkpoint_id, Checkpoint.deleted_at.is_(None))
    column = CheckpointResource.resource_id
    return select(column).join(Checkpoint, living).where(column.in_(ids))


def _is_decided() -> ColumnElement[bool]:
    """Of an operation that is deleted nothing is decided any more: what waited for one when that was not told
    at once waits in vain."""
    gone = exists().where(
        ScheduledOperation.id == Occurrence.scheduled_operation_id, ScheduledOperation.deleted.is_(True)
    )
    return or_(Occurrence.outcome != WAITING, gone)


RULES: tuple[Rule, ...] = (
    Rule(IdempotencyKey, lambda before: IdempotencyKey.created_at < before),
    Rule(Task, lambda before: and_(Task.state.in_(ENDED), Task.ended_at < before)),
    Rule(Restore, _run_over(Restore), [_by_tasks(Task.restore_id)]),
    Rule(Verification, _run_over(Verification), [_by_tasks(Task.verification_id)]),
    Rule(
        Checkpoint,
        _deleted(Checkpoint),
        [
            _by_tasks(Task.checkpoint_id),
            _by_living(Restore.checkpoint_id, Restore.deleted_at.is_(None)),
            _by_living(Verification.checkpoint_id, Verification.deleted_at.is_(None)),
            _by_living(Checkpoint.source_id, Checkpoint.deleted_at.is_(None)),
        ],
        [CheckpointResource.checkpoint_id],
    ),
    Rule(Occurrence, lambda before: and_(_is_decided(), Occurrence.decided_at < before)),
    Rule(
        ScheduledOperation,
        _deleted(ScheduledOperation),
        [_by_tasks(Task.scheduled_operation_id), _by_living(Occurrence.scheduled_operation_id)],
    ),
    Rule(Trigger, _deleted(Trigger), [_by_living(ScheduledOperation.trigger_id)]),
    Rule(PlanResource, _deleted(PlanResource)),
    Rule(
        Plan,
        _deleted(Plan),
        [_by_tasks(Task.plan_id), _by_living(Checkpoint.plan_id, Checkpoint.deleted_at.is_(None))],
        [PlanResource.plan_id],
    ),
    Rule(
        Instance,
        _deleted(Instance),
        [_by_living(PlanResource.resource_id, PlanResource.deleted_at.is_(None)), _by_checkpoints],
    ),
    Rule(Order, _deleted(Order)),
    Rule(
        Container,
        _deleted(Container),
        [_by_living(Order.container_id)],
        [ContainerSecret.container_id, ContainerConsumer.container_id],
    ),
    Rule(
        Secret,
        lambda before: or_(Secret.deleted_at < before, Secret.expiration < before),
        [
            _by_living(SecretConsumer.secret_id),
            _by_living(Vault.secret_id),
            _by_living(ContainerSecret.secret_id),
            _by_living(Order.secret_id),
        ],
        [SecretMetadata.secret_id, AclUser.acl_id, Acl.id],
    ),
    Rule(Service, _deleted(Service)),
)
"""Those first that refer to others. Vaults are not among them: one without its row could not be opened."""


class Purge:
    """One walk through all tables.

    :param before: what was over at or after this moment stays.
    :param batch: rows that are looked at in one transaction.
    :ivar counts: rows removed so far, by table.
    """

    def __init__(self, database: Database, before: datetime, batch: int = BATCH) -> None:
        self._database = database
        self._before = before
        self._batch = batch
        self._left = list(RULES)
        self._last: Any = None
        self.counts: Counter[str] = Counter()

    @property
    def ended(self) -> bool:
        return not self._left

    def step(self) -> None:
        """Look at the next rows and remove what may go. Safe to repeat, also after an error, and beside
        others that do the same.

        :raises DatabaseUnavailable: the same call may succeed later.
        """
        if self.ended:
            return
        rule = self._left[0]
        with self._database.read() as uow:
            last = uow.session.scalar(self._window(rule).limit(1).offset(self._batch - 1))
            ids = list(uow.session.scalars(self._window(rule, last).where(rule.over(self._before))))
        if ids:
            self._remove(rule, ids)
        self._last = last
        if last is None:
            self._left.pop(0)

    def _window(self, rule: Rule, last: Any = None) -> Select[Any]:
        """The rows after those of the former step, up to `last`; None: to the end."""
        id = rule.model.id
        query = select(id).order_by(id)
        query = query if self._last is None else query.where(id > self._last)
        return query if last is None else query.where(id <= last)

    def _remove(self, rule: Rule, ids: Sequence[Any]) -> None:
        """What they need is looked up in the transaction that removes them."""
        with self._database.write() as uow:
            spared = {id for need in rule.needs for id in uow.session.scalars(need(ids))}
            free = [id for id in ids if id not in spared]
            removed = {part.class_: _delete(uow.session, part.class_, part.in_(free)) for part in rule.parts}
            which = and_(rule.model.id.in_(free), rule.over(self._before))
            removed[rule.model] = _delete(uow.session, rule.model, which)
        self.counts.update({model.__tablename__: count for model, count in removed.items()})


def _delete(session: Session, model: Any, which: ColumnElement[bool]) -> int:
    result = session.execute(delete(model).where(which), execution_options={"synchronize_session": False})
    return cast("CursorResult[Any]", result).rowcount


def purge(database: Database, before: datetime, batch: int = BATCH) -> Mapping[str, int]:
    """Remove all that was over before a moment. Takes a batch a transaction, so it may run beside the service
    and be broken off.

    :returns: rows removed, by table; those without any are left out.
    """
    walk = Purge(database, before, batch)
    while not walk.ended:
        walk.step()
    return {table: count for table, count in sorted(walk.counts.items()) if count}
