"""Containers of secrets."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import func, insert, select
from sqlalchemy.orm import joinedload

from protectd.common.errors import NotFound
from protectd.model.models import Container, ContainerSecret, Secret
from protectd.model.repositories.base import Repository
from protectd.model.repositories.filters import like
from protectd.model.repositories.secrets import unexpired


class ContainerNotFound(NotFound):
    code = "container.not_found"
    message = "container {id} is not there"


class ContainerRepository(Repository[Container]):
    model = Container
    not_found = ContainerNotFound

    def find(
        self, id: str, project_id: str | None = None, *, include_deleted: bool = False, lock: bool = False
    ) -> Container | None:
        """One that is only shown comes together with its secrets."""
        if lock:
            return super().find(id, project_id, include_deleted=include_deleted, lock=True)
        query = self._visible(project_id, include_deleted).where(Container.id == id)
        return self.session.scalars(query.options(joinedload(Container.secrets))).unique().one_or_none()

    def put_in(self, container_id: str, refs: Sequence[tuple[str, str]]) -> None:
        """The secrets of a new container, by name and id: one statement for all."""
        rows = [{"container_id": container_id, "name": name, "secret_id": id} for name, id in refs]
        if rows:
            self.session.execute(insert(ContainerSecret), rows)

    def list_and_count(
        self, project_id: str, *, name: str | None, type: str | None, limit: int, offset: int
    ) -> tuple[list[Container], int]:
        """A page, oldest first, and how many there are in all.

        :param name: `%` and `_` stand for anything.
        """
        clauses = [Container.project_id == project_id, Container.deleted.is_(False)]
        clauses += [like(Container.name, name)] if name else []
        clauses += [Container.type == type] if type else []
        total = self.session.scalar(select(func.count()).select_from(Container).where(*clauses)) or 0
        query = select(Container).where(*clauses).order_by(Container.created_at, Container.id)
        return (self.all(query.limit(limit).offset(offset)) if total > offset else []), total

    def secrets_of(self, project_id: str, ids: Collection[str], now: datetime) -> set[str]:
        """Which of these are secrets of a project that have not expired. They stay until the unit of work
        ends."""
        query = select(Secret.id).where(Secret.id.in_(ids), Secret.project_id == project_id)
        query = query.where(Secret.deleted.is_(False), unexpired(now))
        return set(self.session.scalars(query.order_by(Secret.id).with_for_update(read=True)))
