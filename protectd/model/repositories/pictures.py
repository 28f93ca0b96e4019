"""Pictures of entities: what lists and shows need, read as plain rows, in a third of the time of entities.

A picture is of the entity's class and has its values, its methods and the children that were named. It is of
no session: it never changes, reads nothing later, and what it does not show fails when it is asked for. What
a unit of work has not flushed is not in the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Insert, Select, bindparam, insert, inspect, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from protectd.model.base import Base

T = TypeVar("T", bound=Base)

PARENTS, ID, PROJECT = "of_parents", "of_id", "of_project"


@dataclass(frozen=True, eq=False)
class Children:
    """What hangs on each picture, in order: one statement for all of a list.

    :ivar attribute: its name at the parent.
    :ivar parent: the column that has the parent's id.
    :ivar hidden: columns that are left out.
    """

    attribute: str
    model: type[Base]
    parent: InstrumentedAttribute[str]
    where: Sequence[ColumnElement[bool]]
    order: Sequence[InstrumentedAttribute[Any]]
    hidden: frozenset[str] = frozenset()

    def read(self, connection: Connection, parents: Mapping[str, dict[str, Any]]) -> None:
        """:param parents: values of pictures by their ids."""
        for values in parents.values():
            values[self.attribute] = []
        rows = connection.execute(self._query, {PARENTS: list(parents)})
        for row in rows:
            child = picture(self.model, self._names, row)
            parents[getattr(child, self.parent.key)][self.attribute].append(child)

    def insert(self, connection: Connection, parents: Iterable[Any]) -> None:
        rows = [
            _row(child) | {self.parent.key: parent.id}
            for parent in parents
            for child in getattr(parent, self.attribute)
        ]
        if rows:
            connection.execute(_insert(self.model), _told(self.model, rows))

    @cached_property
    def _names(self) -> list[str]:
        return [name for name in _columns(self.model) if name not in self.hidden]

    @cached_property
    def _query(self) -> Select[Any]:
        columns = _columns(self.model)
        return (
            select(*(columns[name] for name in self._names))
            .where(self.parent.in_(bindparam(PARENTS, expanding=True)), *self.where)
            .order_by(*self.order)
        )


class Pictures(Generic[T]):
    """Of one kind of entity, which has an `id`, a `project_id` and is deleted softly."""

    def __init__(self, model: type[T], *children: Children) -> None:
        self._model = model
        self._children = children
        self._ones: dict[tuple[bool, bool], Select[Any]] = {}

    def one(self, session: Session, id: str, project_id: str | None, *, lock: bool = False) -> T | None:
        """:param project_id: None: of any project.
        :param lock: keep others from changing the row until the unit of work ends.
        """
        found = self._read(session, self._one(project_id is not None, lock), {ID: id, PROJECT: project_id})
        return found[0] if found else None

    def many(self, session: Session, query: Select[T], values: Mapping[str, Any] | None = None) -> list[T]:
        """:param query: selects the entity; conditions, order and limits are its own.
        :param values: of the query's parameters."""
        return self._read(session, query, values or {})

    def insert(self, session: Session, entities: Sequence[T]) -> None:
        """Write new entities and their children, all their columns but those that the database numbers: one
        statement for each table. There is at least one."""
        connection = session.connection()
        rows = [_row(entity) for entity in entities]
        connection.execute(_insert(self._model), _told(self._model, rows))
        for children in self._children:
            children.insert(connection, entities)

    def values(self, entity: T) -> dict[str, Any]:
        """What `insert` writes of an entity itself, by names of columns."""
        return _told(self._model, [_row(entity)])[0]

    def _read(self, session: Session, query: Select[Any], values: Mapping[str, Any]) -> list[T]:
        names, connection = self._names, session.connection()
        found = [picture(self._model, names, row) for row in connection.execute(query, values)]
        if found:
            parents = {picture.id: vars(picture) for picture in found}
            for children in self._children:
                children.read(connection, parents)
        return found

    @cached_property
    def _names(self) -> list[str]:
        return list(_columns(self._model))

    def _one(self, owned: bool, lock: bool) -> Select[Any]:
        """Made once, for it is always the same."""
        if (owned, lock) not in self._ones:
            model: Any = self._model
            query = select(model).where(model.id == bindparam(ID), model.deleted.is_(False))
            query = query.where(model.project_id == bindparam(PROJECT)) if owned else query
            self._ones[owned, lock] = query.with_for_update() if lock else query
        return self._ones[owned, lock]


@cache
def _insert(model: Any) -> Insert:
    return insert(model.__table__)


@cache
def _columns(model: Any) -> dict[str, Any]:
    """By the names of the attributes, in the order in which they are selected."""
    return {attribute.key: attribute.columns[0] for attribute in inspect(model).column_attrs}


def _row(entity: Any) -> dict[str, Any]:
    """Values by the names of columns; what was not given is set to its default first."""
    values = vars(entity)
    row = {}
    kind: Any = type(entity)
    for name, column in _columns(kind).items():
        if name not in values and column.default is not None:
            default = column.default
            values[name] = default.arg if default.is_scalar else default.arg(None)
        if name in values or not column.primary_key:
            row[column.key] = values.get(name)
    return row


def _told(model: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what is NULL in all of them and would be by itself: each value is work for the driver."""
    empty = [name for name in _bare(model) if all(row.get(name) is None for row in rows)]
    for row in rows:
        for name in empty:
            row.pop(name, None)
    return rows


@cache
def _bare(model: Any) -> tuple[str, ...]:
    """Columns that are NULL where nothing is said."""
    columns = (column for column in _columns(model).values() if not column.primary_key)
    return tuple(each.key for each in columns if each.default is None and each.server_default is None)


def picture(model: type[Any], names: Iterable[str], row: Sequence[Any]) -> Any:
    """SQLAlchemy looks for values of an instance here first, and fails loudly where there is none: what never
    had a session is no entity to it."""
    return drawn(model, zip(names, row, strict=True))


def drawn(model: type[T], values: Iterable[tuple[str, Any]] | Mapping[str, Any]) -> T:
    """As `picture`, of something new that is to be inserted."""
    made = object.__new__(model)
    vars(made).update(values)
    return made
