"""Registered instances of protectables."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from protectd.common.errors import NotFound
from protectd.model.models import Instance
from protectd.model.repositories.base import Repository
from protectd.model.repositories.filters import exact


class InstanceNotFound(NotFound):
    code = "instance.not_found"
    message = "instance {id} is not there"


class InstanceRepository(Repository[Instance]):
    model = Instance
    not_found = InstanceNotFound
    sort_keys = ("id", "name", "type", "created_at", "updated_at")
    filters = {
        "type": exact(Instance.type),
        "name": exact(Instance.name),
        "host": exact(Instance.host),
    }

    def by_identity(self, project_id: str, type: str, host: str, identity_hash: str) -> Instance | None:
        """The living instance that means this thing, if the project registered it."""
        query = select(Instance).where(
            Instance.project_id == project_id,
            Instance.type == type,
            Instance.host == host,
            Instance.identity_hash == identity_hash,
            Instance.deleted_marker == "",
        )
        return self.session.scalars(query).one_or_none()

    def by_ids(self, ids: Sequence[str], project_id: str | None = None) -> dict[str, Instance]:
        """Those of `ids` that are there, by id; one statement."""
        query = self._visible(project_id, False).where(Instance.id.in_(ids))
        return {instance.id: instance for instance in self.session.scalars(query)}

    def delete(self, entity: Instance) -> None:
        entity.deleted_marker = entity.id
        super().delete(entity)
