"""What all repositories do: get, add, soft delete, list by pages. They never commit and hold no rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Generic, Literal, TypeVar, cast

from sqlalchemy import BindParameter, ColumnElement, Select, bindparam, select
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.base import ExecutableOption

from protectd.common.errors import InvalidField, NotFound
from protectd.model import witness
from protectd.model.base import Base, utc_now
from protectd.model.repositories.hints import by_index, paging_index
from protectd.model.repositories.keyset import Key, after, order
from protectd.model.repositories.pictures import Pictures

Direction = Literal["asc", "desc"]
Filter = Callable[[Any], ColumnElement[bool]]
T = TypeVar("T", bound=Base)
_ID, _PROJECT = "wanted_id", "wanted_project"
HASTY = "hasty"
"""Of a session that waits for no entity that another has locked."""


class InvalidMarker(NotFound):
    """No entity of this list has the id that the query starts after."""

    code = "marker.unknown"
    message = "{field}: {reason}"


class InvalidSortKey(InvalidField):
    code = "sort.unknown_key"


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list: at most `limit` entities after the one whose id is `marker`.

    Ties are broken by created_at and id, in the direction of the first key.
    """

    limit: int = 1000
    marker: str | None = None
    sort: tuple[tuple[str, Direction], ...] = (("created_at", "desc"),)
    offset: int = 0


class Repository(Generic[T]):
    """Entities of one kind. `project_id` None means any project: for administrators and workers only."""

    model: ClassVar[type[Any]]
    not_found: ClassVar[type[NotFound]]
    sort_keys: ClassVar[tuple[str, ...]] = ("id", "created_at")
    columns: ClassVar[Mapping[str, str]] = {}
    """Sort keys that are another name of a column."""

    filters: ClassVar[Mapping[str, Filter]] = {}
    equal: ClassVar[Mapping[str, str]] = {}
    """Filters that are not named as the column which they compare."""

    page_options: ClassVar[Sequence[ExecutableOption]] = ()
    pictures: ClassVar[Pictures[Any]]
    """How its entities are looked at, where a kind is shown often."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def find(
        self, id: str, project_id: str | None = None, *, include_deleted: bool = False, lock: bool = False
    ) -> T | None:
        """:param lock: keep others from changing the row until the unit of work ends, and read it anew."""
        waits = not self.session.info.get(HASTY)
        query = _one_of(cast(Any, self.model), project_id is not None, include_deleted, lock, waits)
        named = {_ID: id, _PROJECT: project_id}
        return self.session.scalars(query, named).one_or_none()

    def get(
        self, id: str, project_id: str | None = None, *, include_deleted: bool = False, lock: bool = False
    ) -> T:
        """As `find`. :raises NotFound: its leaf; another project's entity is not found either."""
        found = self.find(id, project_id, include_deleted=include_deleted, lock=lock)
        if found is None:
            raise self.not_found(id=id)
        return found

    def look(self, id: str, project_id: str | None = None, *, lock: bool = False) -> T:
        """As `get`, of what is only shown: a picture. What is locked stays as it shows."""
        found: T | None = self.pictures.one(self.session, id, project_id, lock=lock)
        if found is None:
            raise self.not_found(id=id)
        return found

    def add(self, entity: T) -> T:
        """Keep a new entity; defaults and the database's checks are through when this returns."""
        self.session.add(entity)
        self.session.flush()
        return entity

    def insert(self, entity: T) -> T:
        """As `add`, of what is only shown from here on: no session knows it, and it is not written again."""
        self.insert_all([entity])
        return entity

    def insert_all(self, entities: Sequence[T]) -> None:
        """As `insert`, with as many statements for many as for one. There is at least one."""
        self.pictures.insert(self.session, entities)
        witness.note_new(self.session, entities[-1])

    def delete(self, entity: T) -> None:
        """Soft: the row stays and is not found any more."""
        row: Any = entity
        row.deleted = True
        row.deleted_at = utc_now()
        self.session.flush()

    def page(
        self, page: Page, project_id: str | None = None, filters: Mapping[str, Any] | None = None
    ) -> list[T]:
        """One page, in a bounded number of statements however many entities it has.

        Complete and without repeats for what exists during the whole walk, whatever is added meanwhile.

        :param filters: values by names of `self.filters`.
        :raises InvalidSortKey: a key is not one of `sort_keys`.
        :raises InvalidMarker: there is no such entity in this project.
        """
        query = self._paged(page, project_id, filters or {})
        return list(self.session.scalars(query.options(*self.page_options)))

    def looks(
        self, page: Page, project_id: str | None = None, filters: Mapping[str, Any] | None = None
    ) -> list[T]:
        """As `page`, of what is only shown: pictures."""
        found: list[T] = self.pictures.many(self.session, self._paged(page, project_id, filters or {}))
        return found

    def _paged(self, page: Page, project_id: str | None, filters: Mapping[str, Any]) -> Select[T]:
        query = self.listed(project_id, filters)
        keys = self._keys(page)
        if page.marker is not None:
            query = query.where(after(keys, self._marker(page.marker, project_id, keys)))
            equal = {self.equal.get(name, name) for name in filters}
            equal |= set() if project_id is None else {"project_id"}
            query = by_index(query, self.model, paging_index(self.model, equal, keys))
        return query.order_by(*order(keys)).limit(page.limit).offset(page.offset or None)

    def all(self, query: Select[T]) -> list[T]:
        return list(self.session.scalars(query))

    def listed(self, project_id: str | None, filters: Mapping[str, Any]) -> Select[T]:
        """What a list shows; narrower than what `get` finds where a kind needs it."""
        clauses = [self.filters[name](value) for name, value in filters.items()]
        return self._visible(project_id, False).where(*clauses)

    def _visible(self, project_id: str | None, include_deleted: bool) -> Select[T]:
        return _visible(self.model, project_id, include_deleted)

    def _keys(self, page: Page) -> list[Key]:
        for name, _ in page.sort:
            if name not in self.sort_keys:
                known = ", ".join(self.sort_keys)
                raise InvalidSortKey(field="sort", reason=f"{name} is not one of {known}")
        first = page.sort[0][1] if page.sort else "desc"
        wanted = dict(page.sort)
        for tie_breaker in ("created_at", "id"):
            wanted.setdefault(tie_breaker, first)
        return [Key(self._column(name), direction == "desc") for name, direction in wanted.items()]

    def _column(self, sort_key: str) -> InstrumentedAttribute[Any]:
        column: InstrumentedAttribute[Any] = getattr(self.model, self.columns.get(sort_key, sort_key))
        return column

    def _marker(self, marker: str, project_id: str | None, keys: Sequence[Key]) -> Any:
        """Where it stands. Deleted ones too: a list goes on where a client left it."""
        query = self._visible(project_id, True).where(self.model.id == marker)
        place = query.with_only_columns(*(key.attribute for key in keys))
        found = self.session.execute(place).one_or_none()
        if found is None:
            raise InvalidMarker(field="marker", reason="nothing in this list has this id")
        return found


def _visible(model: Any, project_id: str | BindParameter[str] | None, include_deleted: bool) -> Select[Any]:
    query = select(model)
    if project_id is not None:
        query = query.where(model.project_id == project_id)
    if not include_deleted and hasattr(model, "deleted"):
        query = query.where(model.deleted.is_(False))
    return query


@cache
def _one_of(model: Any, is_scoped: bool, include_deleted: bool, lock: bool, waits: bool) -> Select[Any]:
    """Built once: to build a statement takes longer than to send it."""
    project_id: BindParameter[str] | None = bindparam(_PROJECT) if is_scoped else None
    query = _visible(model, project_id, include_deleted).where(model.id == bindparam(_ID))
    locked = query.with_for_update(nowait=not waits).execution_options(populate_existing=True)
    return locked if lock else query
