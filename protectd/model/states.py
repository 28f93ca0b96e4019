"""Every state and every allowed move, as data; a move is one UPDATE that can lose a race."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, cast

from sqlalchemy import ColumnElement, Update, bindparam, update
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.orm.attributes import set_committed_value

from protectd.common.errors import ProtectdError
from protectd.model.base import Stateful

_ID, _SOURCE = "moved_id", "moved_from"
_KEYS, _LIKE = "moved_keys", "moved_like_"


class PlanStatus:
    SUSPENDED = "suspended"
    STARTED = "started"


class CheckpointStatus:
    PENDING = "PENDING"
    PROTECTING = "protecting"
    AVAILABLE = "available"
    ERROR = "error"
    DELETING = "deleting"
    DELETED = "deleted"
    ERROR_DELETING = "error-deleting"
    WAIT_COPYING = "wait_copying"
    COPYING = "copying"
    FINISHED = "finished"


class ResourceStatus:
    """One resource inside a checkpoint, and (restoring) inside a restore's `resources_status`."""

    PENDING = "PENDING"
    PROTECTING = "protecting"
    RESTORING = "restoring"
    AVAILABLE = "available"
    ERROR = "error"
    DELETING = "deleting"
    DELETED = "deleted"


class RunStatus:
    """A restore or a verification."""

    PENDING = "PENDING"
    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    FAIL = "fail"


class OrderStatus:
    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    ERROR = "ERROR"


class TaskState:
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class VaultStatus:
    CREATING = "creating"
    READY = "ready"


RUNNING_STATUSES = (RunStatus.PENDING, RunStatus.IN_PROGRESS)
"""A restore or verification in one of these pins its checkpoint."""

COPYING_STATUSES = (CheckpointStatus.WAIT_COPYING, CheckpointStatus.COPYING)
"""A copy in one of these pins the checkpoint that it is made of."""

COPIED_STATUSES = (*COPYING_STATUSES, CheckpointStatus.AVAILABLE, CheckpointStatus.FINISHED)
"""A copy in one of these need not be made again."""

_RUN_MOVES = frozenset(
    {
        ("PENDING", "in_progress"),
        ("PENDING", "fail"),
        ("in_progress", "success"),
        ("in_progress", "fail"),
    }
)

MOVES: dict[str, frozenset[tuple[str, str]]] = {
    "plan": frozenset({("suspended", "started"), ("started", "suspended")}),
    "checkpoint": frozenset(
        {
            ("PENDING", "protecting"),
            ("PENDING", "error"),
            ("protecting", "available"),
            ("protecting", "error"),
            ("available", "deleting"),
            ("error", "deleting"),
            ("error-deleting", "deleting"),
            ("deleting", "deleted"),
            ("deleting", "error-deleting"),
            ("deleting", "error"),
            ("deleting", "available"),
            ("error-deleting", "error"),
            ("error-deleting", "available"),
            ("PENDING", "available"),
            ("wait_copying", "available"),
            ("wait_copying", "copying"),
            ("wait_copying", "error"),
            ("copying", "available"),
            ("copying", "error"),
            ("available", "error"),
            ("error", "available"),
            ("finished", "available"),
            ("finished", "error"),
        }
    ),
    "checkpoint_resource": frozenset(
        {
            ("PENDING", "protecting"),
            ("PENDING", "error"),
            ("PENDING", "available"),
            ("protecting", "available"),
            ("protecting", "error"),
            ("available", "deleting"),
            ("error", "deleting"),
            ("error", "available"),
            ("deleting", "deleted"),
            ("deleting", "error"),
            ("deleting", "available"),
        }
    ),
    "restored_resource": frozenset({("restoring", "available"), ("restoring", "error")}),
    "restore": _RUN_MOVES,
    "verification": _RUN_MOVES,
    "order": frozenset({("PENDING", "ACTIVE"), ("PENDING", "ERROR")}),
    "task": frozenset(
        {
            ("pending", "running"),
            ("pending", "failed"),
            ("pending", "cancelled"),
            ("running", "pending"),
            ("running", "done"),
            ("running", "failed"),
            ("running", "cancelled"),
        }
    ),
    "vault": frozenset({("creating", "ready")}),
}


class MoveNotAllowed(ProtectdError):
    """A program asked for a move that is not in the table."""

    code = "state.move_not_allowed"
    message = "a {kind} never moves from {source} to {target}"


def check_move(kind: str, source: str, target: str) -> None:
    """:raises MoveNotAllowed: the pair is not in `MOVES`."""
    if (source, target) not in MOVES.get(kind, frozenset()):
        raise MoveNotAllowed(kind=kind, source=source, target=target)


def move(
    session: Session,
    model: type[Stateful],
    id: str | int,
    source: str,
    target: str,
    *,
    where: Sequence[ColumnElement[bool]] = (),
    **values: Any,
) -> bool:
    """Move one row from `source` to `target` and set `values` with it.

    One UPDATE whose WHERE names the source (and `where`): of several callers at once, one wins.

    :returns: whether this call won. An instance that the session has loaded shows what was written, or is
        read anew when another was first.
    :raises MoveNotAllowed: the pair is not in the table.
    """
    check_move(model.kind, source, target)
    statement = _move_of(cast(Any, model))
    if where:
        statement = statement.where(*where)
    named = {_ID: id, _SOURCE: source, model.state_column: target}
    return _run(session, model, id, statement, named | values)


def swap(
    session: Session,
    model: type[Any],
    id: str | int,
    where: Sequence[ColumnElement[bool]],
    values: Mapping[str, Any],
) -> bool:
    """Set `values`, by the names of their columns, in the row of this id if it is as `where` says; whether it
    was."""
    return _run(session, model, id, _change_of(cast(Any, model)).where(*where), {_ID: id, **values})


def move_all(
    session: Session,
    model: type[Stateful],
    of: str,
    keys: Collection[str],
    source: str,
    target: str,
    *,
    like: Mapping[str, Any] = MappingProxyType({}),
    **values: Any,
) -> int:
    """As `move`, by one UPDATE, all rows whose column `of` has one of `keys` and whose other columns are
    `like` this. What the session has loaded does not show it.

    :returns: how many moved; the others were not as expected.
    :raises MoveNotAllowed: as above.
    """
    check_move(model.kind, source, target)
    statement = _moves_of(cast(Any, model), of, tuple(like))
    named = {_KEYS: list(keys), _SOURCE: source, model.state_column: target}
    named |= {f"{_LIKE}{name}": value for name, value in like.items()}
    session.flush()
    return session.connection().execute(statement, named | values).rowcount


COMPUTED = (ColumnElement, InstrumentedAttribute)
"""What the database is to find out itself."""


def _run(
    session: Session, model: type[Any], id: str | int, statement: Update, values: Mapping[str, Any]
) -> bool:
    session.flush()
    computed = {name: value for name, value in values.items() if isinstance(value, COMPUTED)}
    if computed:
        statement = statement.values(computed)
    plain = {name: value for name, value in values.items() if name not in computed}
    result = session.connection().execute(statement, plain)
    won = result.rowcount == 1
    loaded = session.identity_map.get(session.identity_key(model, id))
    if loaded is not None:
        if won and not computed:
            _show(loaded, result.last_updated_params())
        else:
            session.refresh(loaded)
    return won


def _show(loaded: Any, written: Any) -> None:
    """What was just written, and what the table adds to each change."""
    columns = type(loaded).__table__.c
    for name, value in written.items():
        if name in columns:
            set_committed_value(loaded, name, value)


@cache
def _change_of(model: Any) -> Update:
    table = model.__table__
    return update(table).where(table.c.id == bindparam(_ID))


@cache
def _move_of(model: Any) -> Update:
    """Built once: to build a statement takes longer than to send it."""
    return _change_of(model).where(model.__table__.c[model.state_column] == bindparam(_SOURCE))


@cache
def _moves_of(model: Any, of: str, like: tuple[str, ...]) -> Update:
    columns = model.__table__.c
    named = columns[of].in_(bindparam(_KEYS, expanding=True))
    alike = [columns[name] == bindparam(f"{_LIKE}{name}") for name in like]
    is_there = columns[model.state_column] == bindparam(_SOURCE)
    return update(model.__table__).where(named, is_there, *alike)
