"""Registered instances of protectables."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, select

from protectd.common.errors import NotFound
from protectd.model.models import Instance
from protectd.model.repositories.base import Repository
from protectd.model.repositories.filters import exact
from protectd.model.repositories.pictures import Pictures, picture


class InstanceNotFound(NotFound):
    code = "instance.not_found"
    message = "instance {id} is not there"


Known = dict[tuple[str, str | None], Instance]
"""By type and identity."""


class InstanceRepository(Repository[Instance]):
    model = Instance
    not_found = InstanceNotFound
    sort_keys = ("id", "name", "type", "created_at", "updated_at")
    filters = {
        "type": exact(Instance.type),
        "name": exact(Instance.name),
        "host": exact(Instance.host),
    }
    pictures = Pictures(Instance)

    def by_identities(
        self, project_id: str, host: str, identity_hashes: Collection[str], *, brief: bool = False
    ) -> Known:
        """Pictures of the living instances that mean these things, as far as the project has registered
        them. :param brief: of what and where each is, and no more."""
        if not identity_hashes:
            return {}
        values = {"of_project": project_id, "of_host": host, "of_hashes": list(identity_hashes)}
        if brief:
            rows = self.session.connection().execute(_places_of_identities(), values)
            found = [picture(Instance, _MEANT, row) for row in rows]
        else:
            found = self.pictures.many(self.session, _of_identities(), values)
        return {(instance.type, instance.identity_hash): instance for instance in found}

    def taken(self, ids: Collection[str]) -> set[str]:
        """Those of `ids` that anybody has, or had."""
        return set(self.session.scalars(select(Instance.id).where(Instance.id.in_(ids)))) if ids else set()

    def by_ids(self, ids: Collection[str], project_id: str | None = None) -> dict[str, Instance]:
        """Those of `ids` that are there, by id: pictures of what and where each is. One statement at most."""
        if not ids:
            return {}
        query, values = _of_ids(project_id is not None), {"of_ids": list(ids), "of_project": project_id}
        rows = self.session.connection().execute(query, values)
        return {row.id: picture(Instance, _PLACE, row) for row in rows}

    def delete(self, entity: Instance) -> None:
        entity.deleted_marker = entity.id
        super().delete(entity)


@cache
def _of_identities() -> Select[Instance]:
    """Made once: every plan that is made asks so."""
    return select(Instance).where(
        Instance.project_id == bindparam("of_project"),
        Instance.host == bindparam("of_host"),
        Instance.identity_hash.in_(bindparam("of_hashes", expanding=True)),
        Instance.deleted_marker == "",
    )


_MEANT = ("id", "type", "host", "identity_hash")


@cache
def _places_of_identities() -> Select[Any]:
    return _of_identities().with_only_columns(*(Instance.__table__.c[name] for name in _MEANT))


_PLACE = ("id", "type", "host", "properties")


@cache
def _of_ids(is_scoped: bool) -> Select[Any]:
    """Made once: every checkpoint that is made asks so."""
    row = Instance.__table__.c
    query = select(*(row[name] for name in _PLACE)).where(
        row.deleted.is_(False), row.id.in_(bindparam("of_ids", expanding=True))
    )
    return query.where(row.project_id == bindparam("of_project")) if is_scoped else query
