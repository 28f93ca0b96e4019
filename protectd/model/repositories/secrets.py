"""Sealed secrets, their consumers and notes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Insert,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.orm import aliased, defer

from protectd.common.errors import NotFound
from protectd.model import witness
from protectd.model.base import UTCDateTime
from protectd.model.models import (
    Acl,
    AclUser,
    ContainerSecret,
    ProjectKeyRow,
    Secret,
    SecretConsumer,
    SecretMetadata,
)
from protectd.model.models.secrets import consumer_digest
from protectd.model.repositories.base import Repository
from protectd.model.repositories.filters import exact, like
from protectd.model.repositories.pictures import Pictures, picture

SORT_KEYS: Mapping[str, Any] = {
    "algorithm": Secret.algorithm,
    "bit_length": Secret.bit_length,
    "created": Secret.created_at,
    "expiration": Secret.expiration,
    "mode": Secret.mode,
    "name": Secret.name,
    "secret_type": Secret.secret_type,
    "updated": Secret.updated_at,
}
"""What the key manager's lists are sorted by, in its own words."""

MOMENTS: Mapping[str, Any] = {
    "created": Secret.created_at,
    "updated": Secret.updated_at,
    "expiration": Secret.expiration,
}
PATTERNS: Mapping[str, Any] = {"name": Secret.name, "alg": Secret.algorithm, "mode": Secret.mode}
COMPARISONS: Mapping[str, str] = {
    "gt": "__gt__",
    "gte": "__ge__",
    "lt": "__lt__",
    "lte": "__le__",
    "": "__eq__",
}


_OWNED = ("id", "project_id", "creator_id", "content_type")
_DESCRIBED = (
    *_OWNED,
    "name",
    "secret_type",
    "algorithm",
    "bit_length",
    "mode",
    "expiration",
    "created_at",
    "updated_at",
)
_SEALED = (*_OWNED, "store", "key_id", "cipher_text")
"""What pictures of secrets show: each column is work for the driver."""


class SecretNotFound(NotFound):
    code = "secret.not_found"
    message = "secret {id} is not there"


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture of a secret, and what its list of readers says.

    :ivar open: the whole project may read it. :ivar listed: who looks is named.
    """

    secret: Secret
    open: bool
    listed: bool


@dataclass(frozen=True, slots=True)
class SecretQuery:
    """What a list of the key manager is asked for.

    :ivar hidden_id: of a project whose secrets no list shows.
    :ivar reader_id: secrets of any project whose list of readers names this user, instead of the project's.
    :ivar patterns: by name, algorithm, mode; `%` and `_` stand for anything.
    :ivar moments: of created, updated and expiration: a comparison (gt, gte, lt, lte or "") and a moment.
    :ivar sort: keys of `SORT_KEYS`, and whether each descends.
    """

    project_id: str
    now: datetime
    hidden_id: str = ""
    limit: int = 10
    offset: int = 0
    reader_id: str | None = None
    patterns: Mapping[str, str] = field(default_factory=dict)
    bits: int | None = None
    secret_type: str | None = None
    moments: Sequence[tuple[str, str, datetime]] = ()
    sort: Sequence[tuple[str, bool]] = ()


class SecretRepository(Repository[Secret]):
    model = Secret
    not_found = SecretNotFound
    pictures = Pictures(Secret)
    sort_keys = ("id", "name", "created_at", "updated_at")
    filters = {"name": exact(Secret.name), "secret_type": exact(Secret.secret_type)}

    def described(self, id: str, now: datetime) -> Secret:
        """A secret of any project that has not expired, without its sealed bytes.

        :raises SecretNotFound: there is none.
        """
        query = self._living(now).where(Secret.id == id).options(defer(Secret.cipher_text, raiseload=True))
        found = self.session.scalars(query).one_or_none()
        if found is None:
            raise SecretNotFound(id=id)
        return found

    def insert_sealed(self, secret: Secret) -> bool:
        """As `insert`, if the key that it is sealed with is still the one that seals for its project in its
        store. One statement asks and writes.

        :returns: whether it is so.
        """
        values = self.pictures.values(secret)
        result = self.session.connection().execute(_inserting(tuple(values)), values)
        if result.rowcount != 1:
            return False
        witness.note_new(self.session, secret)
        return True

    def see(self, id: str, user_id: str, now: datetime, *, sealed: bool = False) -> Seen:
        """A secret of any project that has not expired, as a user sees it. One statement, for who may see it
        is asked by each request.

        :param sealed: show what opens it instead of what describes it.
        :raises SecretNotFound: there is none.
        """
        names = _SEALED if sealed else _DESCRIBED
        told = {"id": id, "user_id": user_id, "now": now}
        row = self.session.connection().execute(_seen(names), told).first()
        if row is None:
            raise SecretNotFound(id=id)
        *values, is_open, reader_id = row
        # For MariaDB, blanks at the end of a name are nothing.
        return Seen(picture(Secret, names, values), is_open is not False, reader_id == user_id)

    def locked(self, id: str, now: datetime) -> Secret:
        """As `described`, with its sealed bytes, read anew; nobody else changes it until the unit of work
        ends."""
        query = self._living(now).where(Secret.id == id).with_for_update()
        found = self.session.scalars(query.execution_options(populate_existing=True)).one_or_none()
        if found is None:
            raise SecretNotFound(id=id)
        return found

    def of_type(self, project_id: str, secret_type: str) -> list[Secret]:
        """All of a project, oldest first."""
        query = self._visible(project_id, False).where(Secret.secret_type == secret_type)
        return self.all(query.order_by(Secret.created_at, Secret.id))

    def list_and_count(self, wanted: SecretQuery) -> tuple[list[Secret], int]:
        """A page of pictures, which describe, and how many there are in all."""
        clauses = _clauses(wanted)
        total = self.session.scalar(select(func.count()).select_from(Secret).where(*clauses)) or 0
        order = [SORT_KEYS[key].desc() if down else SORT_KEYS[key].asc() for key, down in wanted.sort]
        if total <= wanted.offset:
            return [], total
        query = (
            select(*(Secret.__table__.c[name] for name in _DESCRIBED))
            .where(*clauses)
            .order_by(*order, Secret.created_at, Secret.id)
            .limit(wanted.limit)
            .offset(wanted.offset)
        )
        rows = self.session.connection().execute(query)
        return [picture(Secret, _DESCRIBED, row) for row in rows], total

    def delete(self, entity: Secret) -> None:
        """The row stays, its sealed bytes go."""
        entity.cipher_text = b""
        super().delete(entity)

    def _living(self, now: datetime) -> Select[Secret]:
        return self._visible(None, False).where(unexpired(now))

    # --- what stands in which store ---

    def count_in(self, store: str) -> int:
        query = select(func.count()).select_from(Secret)
        return self.session.scalar(query.where(Secret.store == store, Secret.deleted.is_(False))) or 0

    def left_in(self, store: str, keys_in: str, limit: int, after_id: str = "") -> Sequence[str]:
        """Ids of some that stand in one store, with keys in another one or without a payload."""
        moved = exists().where(ProjectKeyRow.id == Secret.key_id, ProjectKeyRow.store == keys_in)
        query = select(Secret.id).where(Secret.store == store, Secret.deleted.is_(False))
        query = query.where(or_(Secret.key_id == "", moved), Secret.id > after_id)
        return self.session.scalars(query.order_by(Secret.id).limit(limit)).all()

    def put_in(self, store: str, target: str, ids: Collection[str]) -> None:
        """Say that some stand in another store. For their projects nothing has changed, nor when it did."""
        change = update(Secret).where(Secret.id.in_(ids), Secret.store == store, Secret.deleted.is_(False))
        change = change.values(store=target, updated_at=Secret.updated_at)
        self.session.execute(change, execution_options={"synchronize_session": False})

    # --- consumers ---

    def consumer(
        self, secret_id: str, service: str, resource_type: str, resource_id: str
    ) -> SecretConsumer | None:
        query = select(SecretConsumer).where(
            SecretConsumer.secret_id == secret_id,
            SecretConsumer.digest == consumer_digest(service, resource_type, resource_id),
        )
        return self.session.scalars(query).one_or_none()

    def consumers(
        self, secret_ids: Collection[str], limit: int | None = None, offset: int = 0
    ) -> list[SecretConsumer]:
        """Those of some secrets in the order in which they came."""
        query = select(SecretConsumer).where(SecretConsumer.secret_id.in_(secret_ids))
        query = query.order_by(SecretConsumer.id).limit(limit).offset(offset or None)
        return list(self.session.scalars(query))

    def count_consumers(self, secret_id: str) -> int:
        query = select(func.count()).select_from(SecretConsumer).where(SecretConsumer.secret_id == secret_id)
        return self.session.scalar(query) or 0

    def consumed_by(self, service: str, resource_type: str, resource_id: str) -> list[Secret]:
        """All secrets that one consumer depends on, oldest first."""
        query = (
            select(Secret)
            .join(SecretConsumer, SecretConsumer.secret_id == Secret.id)
            .where(SecretConsumer.digest == consumer_digest(service, resource_type, resource_id))
            .where(Secret.deleted.is_(False))
            .order_by(Secret.created_at, Secret.id)
        )
        return self.all(query)

    def has_consumers(self, secret_id: str) -> bool:
        query = select(SecretConsumer.id).where(SecretConsumer.secret_id == secret_id).limit(1)
        return self.session.scalar(query) is not None

    # --- notes ---

    def notes(self, secret_id: str) -> dict[str, str]:
        """The user's metadata, by key."""
        query = select(SecretMetadata.key, SecretMetadata.value).where(SecretMetadata.secret_id == secret_id)
        return {row.key: row.value for row in self.session.execute(query.order_by(SecretMetadata.key))}

    def note(self, secret_id: str, key: str) -> SecretMetadata | None:
        query = select(SecretMetadata).where(SecretMetadata.secret_id == secret_id, SecretMetadata.key == key)
        return self.session.scalars(query).one_or_none()

    def replace_notes(self, secret_id: str, notes: Mapping[str, str]) -> None:
        self.session.execute(delete(SecretMetadata).where(SecretMetadata.secret_id == secret_id))
        rows = [{"secret_id": secret_id, "key": key, "value": value} for key, value in sorted(notes.items())]
        if rows:
            self.session.execute(insert(SecretMetadata), rows)

    def remove_note(self, secret_id: str, key: str) -> None:
        """Safe to repeat."""
        self.session.execute(
            delete(SecretMetadata).where(SecretMetadata.secret_id == secret_id, SecretMetadata.key == key)
        )

    def forget_all_of(self, secret_id: str) -> None:
        """All that hangs on a secret: consumers, notes, its list of readers, its places in containers."""
        self.session.execute(delete(ContainerSecret).where(ContainerSecret.secret_id == secret_id))
        self.session.execute(delete(SecretConsumer).where(SecretConsumer.secret_id == secret_id))
        self.session.execute(delete(SecretMetadata).where(SecretMetadata.secret_id == secret_id))
        self.session.execute(delete(AclUser).where(AclUser.acl_id == secret_id))
        self.session.execute(delete(Acl).where(Acl.id == secret_id))


def unexpired(now: Any) -> ColumnElement[bool]:
    """:param now: a moment, or the parameter that it comes in."""
    return or_(Secret.expiration.is_(None), Secret.expiration > now)


@cache
def _inserting(names: tuple[str, ...]) -> Insert:
    """Built once for each set of columns that are told. What is read is not locked, as everywhere."""
    secrets, keys = Secret.__table__, aliased(ProjectKeyRow)
    later = aliased(ProjectKeyRow)
    told = {name: bindparam(name, type_=secrets.c[name].type) for name in names}
    its = keys.project_id == told["project_id"], keys.store == told["store"]
    newer = exists().where(
        later.project_id == keys.project_id,
        later.store == keys.store,
        later.generation > keys.generation,
    )
    row = select(*told.values()).where(keys.id == told["key_id"], *its, ~newer)
    statement = insert(Secret).from_select(names, row, include_defaults=False)
    return statement.execution_options(preserve_rowcount=True)


@cache
def _seen(names: tuple[str, ...]) -> Select[Any]:
    """Built once."""
    secrets, acls, readers = Secret.__table__, Acl.__table__, AclUser.__table__
    reads = and_(readers.c.acl_id == secrets.c.id, readers.c.user_id == bindparam("user_id"))
    return (
        select(*(secrets.c[name] for name in names), acls.c.project_access, readers.c.user_id)
        .select_from(secrets.outerjoin(acls, acls.c.id == secrets.c.id).outerjoin(readers, reads))
        .where(secrets.c.id == bindparam("id"), Secret.deleted.is_(False))
        .where(unexpired(bindparam("now", type_=UTCDateTime)))
    )


def _clauses(wanted: SecretQuery) -> list[ColumnElement[bool]]:
    clauses = [Secret.deleted.is_(False), unexpired(wanted.now)]
    if wanted.reader_id is None:
        clauses.append(Secret.project_id == wanted.project_id)
    else:
        listed = exists().where(AclUser.acl_id == Secret.id, AclUser.user_id == wanted.reader_id)
        clauses += [listed, Secret.project_id != wanted.hidden_id]
    clauses += [like(PATTERNS[name], pattern) for name, pattern in wanted.patterns.items()]
    if wanted.bits is not None:
        clauses.append(Secret.bit_length == wanted.bits)
    if wanted.secret_type is not None:
        clauses.append(Secret.secret_type == wanted.secret_type)
    for name, comparison, moment in wanted.moments:
        clauses.append(getattr(MOMENTS[name].expression, COMPARISONS[comparison])(moment))
    return clauses
