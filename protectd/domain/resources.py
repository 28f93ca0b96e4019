"""From what a client says of a resource to what a plan keeps and a checkpoint runs on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from protectd.common.errors import Conflict, InvalidField
from protectd.common.fields import about, join
from protectd.common.ids import canonical_id, is_uuid_like
from protectd.domain.instances import Registry, check_properties, own_properties
from protectd.domain.providers import Provider
from protectd.model.models import Checkpoint, CheckpointResource, Instance, PlanResource
from protectd.plugin.base import Access, ProtectablePlugin


class ResourceGone(Conflict):
    code = "resource.gone"
    message = "resource {resource} is not registered any more"


class ResourcesApart(Conflict):
    code = "resource.hosts_differ"
    message = "the resources are on different hosts: {hosts}"


class Resolver:
    """Finds or registers what the resources of a request mean.

    :param access: what the caller may touch through this provider.
    """

    def __init__(self, registry: Registry, provider: Provider, access: Access) -> None:
        self._registry = registry
        self._provider = provider
        self._access = access
        self.uow = registry.uow

    def resolve(self, items: Sequence[Mapping[str, Any]], field: str) -> list[PlanResource]:
        """Rows for a plan, in order, each with an id.

        :raises InvalidField: names the first resource that is unknown, named twice or cannot be used.
        :raises PathNotAllowed: outside what the project may use.
        :raises ResourcesApart: one task could not protect them all.
        """
        rows: dict[str, PlanResource] = {}
        hosts: set[str] = set()
        for index, item in enumerate(items):
            where = join(field, index)
            instance = self._instance(item, where)
            row = _row(item, instance, index)
            if row.key in rows:
                raise InvalidField(field=join(where, "id"), reason="is given twice")
            rows[row.key] = row
            hosts.add(instance.host)
        with about(field):
            _check_together(hosts)
        return list(rows.values())

    def _instance(self, item: Mapping[str, Any], where: str) -> Instance:
        plugin = self._plugin(item["type"], join(where, "type"))
        properties = own_properties(plugin, item.get("extra_info"))
        if properties is None:
            return self._registered(plugin, item, where)
        return self._placed(item, properties, where)

    def _plugin(self, type: str, field: str) -> ProtectablePlugin:
        known = type in self._registry.protectables and type in self._provider.protections
        if not known:
            raise InvalidField(field=field, reason="is no type that this provider protects")
        return self._registry.protectables.get(type)

    def _placed(self, item: Mapping[str, Any], properties: dict[str, Any], where: str) -> Instance:
        """A resource that says where it is becomes known by that."""
        instance = self._registry.register(
            item["type"],
            item["name"],
            properties,
            [self._access],
            join(where, "extra_info"),
            id=item.get("id"),
        )
        other = self.uow.instances.by_ids([_id(item)], self._registry.project_id)
        if any(found.id != instance.id for found in other.values()):
            raise InvalidField(field=join(where, "id"), reason="is registered as something else")
        return instance

    def _registered(self, plugin: ProtectablePlugin, item: Mapping[str, Any], where: str) -> Instance:
        needed, here = ", ".join(plugin.properties_schema().get("required", ())), join(where, "id")
        if not item.get("id"):
            raise InvalidField(field=here, reason=f"is required without {needed} in extra_info")
        instance = self.uow.instances.find(_id(item), self._registry.project_id)
        if instance is None or instance.type != item["type"]:
            reason = f"is no registered instance, and extra_info has no {needed}"
            raise InvalidField(field=here, reason=reason)
        with about(here):
            check_properties(plugin, instance.properties, [self._access])
        return instance

    def prepare(self, checkpoint: Checkpoint) -> None:
        """Make a new checkpoint say by itself where its resources are, and on which host. Its caller knows by
        which field the client asked for it.

        :raises PathNotAllowed: the caller may not read one of them: an administrator made this plan.
        :raises ResourceGone: an instance was removed since.
        """
        ids = [canonical_id(resource.resource_id) for resource in checkpoint.resources]
        known = self.uow.instances.by_ids(ids, checkpoint.project_id)
        hosts = {self._prepare(resource, known) for resource in checkpoint.resources}
        _check_together(hosts)
        checkpoint.host = next(iter(hosts)) or None
        frozen = [_frozen(resource) for resource in checkpoint.resources]
        checkpoint.plan_json = {**checkpoint.plan_json, "resources": frozen}

    def _prepare(self, resource: CheckpointResource, known: Mapping[str, Instance]) -> str:
        plugin = self._plugin(resource.resource_type, "resource")
        instance = known.get(canonical_id(resource.resource_id))
        properties = own_properties(plugin, resource.extra_info)
        if properties is None:
            if instance is None:
                raise ResourceGone(resource=resource.key)
            properties = dict(instance.properties)
            resource.extra_info = {**(resource.extra_info or {}), **properties}
        check_properties(plugin, properties, [self._access])
        return self._registry.host if instance is None else instance.host


def _check_together(hosts: set[str]) -> None:
    if len(hosts) > 1:
        raise ResourcesApart(hosts=", ".join(sorted(hosts)))


def _id(item: Mapping[str, Any]) -> str:
    id = str(item.get("id") or "")
    return canonical_id(id) if is_uuid_like(id) else ""


def _row(item: Mapping[str, Any], instance: Instance, position: int) -> PlanResource:
    """What the client said is kept as it was said."""
    return PlanResource(
        resource_id=item.get("id") or instance.id,
        resource_type=item["type"],
        resource_name=item["name"],
        resource_extra_info=item.get("extra_info"),
        position=position,
    )


def _frozen(resource: CheckpointResource) -> dict[str, Any]:
    shown = {"id": resource.resource_id, "type": resource.resource_type, "name": resource.resource_name}
    return shown if resource.extra_info is None else shown | {"extra_info": resource.extra_info}
