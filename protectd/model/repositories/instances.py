"""Registered instances of protectables."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select

from protectd.common.errors import NotFound
from protectd.model.models import Instance
from protectd.model.repositories.base import Repository
from protectd.model.repositories.filters import exact


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

    def by_identities(self, project_id: str, host: str, identity_hashes: Collection[str]) -> Known:
        """The living instances that mean these things, as far as the project has registered them."""
        query = select(Instance).where(
            Instance.project_id == project_id,
            Instance.host == host,
            Instance.identity_hash.in_(identity_hashes),
            Instance.deleted_marker == "",
        )
        return {(found.type, found.identity_hash): found for found in self.session.scalars(query)}

    def taken(self, ids: Collection[str]) -> set[str]:
        """Those of `ids` that anybody has, or had."""
        return set(self.session.scalars(select(Instance.id).where(Instance.id.in_(ids)))) if ids else set()

    def by_ids(self, ids: Collection[str], project_id: str | None = None) -> dict[str, Instance]:
        """Those of `ids` that are there, by id; one statement."""
        query = self._visible(project_id, False).where(Instance.id.in_(ids))
        return {instance.id: instance for instance in self.session.scalars(query)}

    def delete(self, entity: Instance) -> None:
        entity.deleted_marker = entity.id
        super().delete(entity)
