"""Keys of projects, and what is sealed with which master key."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import CursorResult, Select, and_, bindparam, func, or_, select, update
from sqlalchemy.orm import Session

from protectd.model.base import utc_now
from protectd.model.models import ProjectKeyRow, Secret
from protectd.model.repositories.gates import GateRepository
from protectd.model.repositories.pictures import picture

MASTER_KEYS = "master-keys"
WrappedText = tuple[str, bytes]
"""Name of a master key, and what it has sealed."""

_ROWS = ProjectKeyRow.__table__.c
_OPENING = ("id", "store", "master_key_id", "wrapped")
_ANY = select(*(_ROWS[name] for name in _OPENING))
_BY_ID = _ANY.where(_ROWS.id == bindparam("id"))
_CURRENT = (
    _ANY.where(_ROWS.project_id == bindparam("project_id"), _ROWS.store == bindparam("store"))
    .order_by(_ROWS.generation.desc())
    .limit(1)
)


class ProjectKeyRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def lock_master_keys(self) -> None:
        """Until the unit of work ends nobody else seals a key of a project, nor drops what such are sealed
        with. To be called before the master key is chosen."""
        GateRepository(self.session).lock([MASTER_KEYS])

    def find(self, id: str) -> ProjectKeyRow | None:
        """A picture of what opens it."""
        return self._one(_BY_ID, {"id": id})

    def current(self, project_id: str, store: str) -> ProjectKeyRow | None:
        """As `find`, of the one that seals."""
        return self._one(_CURRENT, {"project_id": project_id, "store": store})

    def _one(self, query: Select[Any], values: Mapping[str, str]) -> ProjectKeyRow | None:
        row = self.session.connection().execute(query, values).first()
        return None if row is None else picture(ProjectKeyRow, _OPENING, row)

    def add(self, row: ProjectKeyRow) -> ProjectKeyRow:
        self.session.add(row)
        self.session.flush()
        return row

    def counts(self) -> dict[tuple[str, str], int]:
        """How many keys of projects each master key seals, by store and master key."""
        columns = (ProjectKeyRow.store, ProjectKeyRow.master_key_id)
        query = select(*columns, func.count()).group_by(*columns)
        return {(store, master): count for store, master, count in self.session.execute(query)}

    def direct_counts(self) -> dict[tuple[str, str], int]:
        """The same of secrets that no project key seals. `key_id` of theirs is a master key's; it is empty
        where there is no payload yet."""
        known = select(ProjectKeyRow.id).where(ProjectKeyRow.id == Secret.key_id).exists()
        columns = (Secret.store, Secret.key_id)
        query = select(*columns, func.count()).where(~known, Secret.key_id != "", Secret.deleted.is_(False))
        query = query.group_by(*columns)
        return {(store, master): count for store, master, count in self.session.execute(query)}

    def sealed_with(
        self, store: str, master_key_id: str, limit: int, after_id: str = ""
    ) -> Sequence[ProjectKeyRow]:
        """Some of the keys that one master key seals, by id."""
        query = (
            select(ProjectKeyRow)
            .where(ProjectKeyRow.store == store, ProjectKeyRow.master_key_id == master_key_id)
            .where(ProjectKeyRow.id > after_id)
            .order_by(ProjectKeyRow.id)
            .limit(limit)
        )
        return self.session.scalars(query).all()

    def directly_sealed(self, store: str, master_key_id: str, limit: int) -> Sequence[Secret]:
        """Some of the secrets that a master key seals itself."""
        query = (
            select(Secret)
            .where(Secret.store == store, Secret.key_id == master_key_id, Secret.deleted.is_(False))
            .order_by(Secret.id)
            .limit(limit)
        )
        return self.session.scalars(query).all()

    def of_store(
        self, store: str, limit: int, after: tuple[str, int] | None = None
    ) -> Sequence[ProjectKeyRow]:
        """Some of the keys in a store, by project, of one the newest first.

        :param after: project and generation of the last one seen.
        """
        query = select(ProjectKeyRow).where(ProjectKeyRow.store == store)
        if after is not None:
            project_id, generation = after
            same = and_(ProjectKeyRow.project_id == project_id, ProjectKeyRow.generation < generation)
            query = query.where(or_(ProjectKeyRow.project_id > project_id, same))
        query = query.order_by(ProjectKeyRow.project_id, ProjectKeyRow.generation.desc()).limit(limit)
        return self.session.scalars(query).all()

    def lowest_generations(self, store: str, project_ids: Collection[str]) -> dict[str, int]:
        """Of projects that have keys in a store, by project."""
        query = select(ProjectKeyRow.project_id, func.min(ProjectKeyRow.generation))
        query = query.where(ProjectKeyRow.store == store, ProjectKeyRow.project_id.in_(project_ids))
        rows = self.session.execute(query.group_by(ProjectKeyRow.project_id))
        return {row[0]: row[1] for row in rows}

    def move(self, source: str, target: str, moved: Sequence[tuple[str, int, WrappedText]]) -> None:
        """Put keys from one store into another. They keep their ids, so whatever they have sealed opens.

        :param moved: id, generation in the target, and what the target made of each.
        """
        table = ProjectKeyRow.__table__
        statement = (
            update(ProjectKeyRow)
            .where(table.c.id == bindparam("row"), table.c.store == source)
            .values(
                store=target,
                generation=bindparam("number"),
                master_key_id=bindparam("master"),
                wrapped=bindparam("text"),
            )
        )
        rows = [
            {"row": id, "number": generation, "master": master, "text": wrapped}
            for id, generation, (master, wrapped) in moved
        ]
        if rows:
            self.session.connection().execute(statement, rows)

    def count(self, store: str) -> int:
        query = select(func.count()).select_from(ProjectKeyRow).where(ProjectKeyRow.store == store)
        return self.session.scalar(query) or 0

    def replace(self, changed: Sequence[tuple[str, str, str, bytes]]) -> None:
        """Give rows another wrapped key, where it is still sealed as it was read.

        :param changed: id, former master key, new master key and wrapped key of each.
        """
        table = ProjectKeyRow.__table__
        statement = (
            update(ProjectKeyRow)
            .where(table.c.id == bindparam("row"), table.c.master_key_id == bindparam("former"))
            .values(
                master_key_id=bindparam("master"), wrapped=bindparam("text"), updated_at=bindparam("moment")
            )
        )
        rows = [
            {"row": id, "former": former, "master": master, "text": wrapped, "moment": utc_now()}
            for id, former, master, wrapped in changed
        ]
        if rows:
            self.session.connection().execute(statement, rows)

    def reseal(self, secret: Secret, store: str, key_id: str, cipher_text: bytes) -> bool:
        """Give a secret another text, if it is still sealed with the key it was read with. One that was
        deleted meanwhile stays without. For its project nothing has changed, nor the time when it did."""
        statement = (
            update(Secret)
            .where(Secret.id == secret.id, Secret.key_id == secret.key_id, Secret.deleted.is_(False))
            .values(store=store, key_id=key_id, cipher_text=cipher_text, updated_at=Secret.updated_at)
        )
        result = self.session.execute(statement, execution_options={"synchronize_session": False})
        return cast("CursorResult[object]", result).rowcount == 1
