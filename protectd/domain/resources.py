"""From what a client says of a resource to what a plan keeps and a checkpoint runs on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from protectd.common.errors import Conflict, InvalidField
from protectd.common.fields import about, join
from protectd.common.ids import canonical_id, is_uuid_like
from protectd.domain import parameters
from protectd.domain.instances import Described, Registry, check_properties, own_properties
from protectd.domain.providers import Provider
from protectd.model.models import Checkpoint, CheckpointResource, Instance, PlanResource
from protectd.plugin.base import Access, ProtectablePlugin


class ResourceGone(Conflict):
    code = "resource.gone"
    message = "resource {resource} is not registered any more"


class ResourcesApart(Conflict):
    code = "resource.hosts_differ"
    message = "the resources are on different hosts: {hosts}"


class ResourceTwice(Conflict):
    code = "resource.twice"
    message = "{field}: the same resource is given twice"


class OtherResource(Conflict):
    code = "resource.other"
    message = "{field}: is registered as something else"


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
        """Rows for a plan, in order, each with an id. They are looked for in a few statements, however many.

        :raises InvalidField: names a resource that is unknown or cannot be used.
        :raises ResourceTwice: two of them are the same.
        :raises OtherResource: one is given the id of another.
        :raises PathNotAllowed: outside what the project may use.
        :raises ResourcesApart: one task could not protect them all.
        """
        instances = self._instances(items, field)
        rows: dict[str, PlanResource] = {}
        for index, (item, instance) in enumerate(zip(items, instances, strict=True)):
            row = _row(item, instance, index)
            if row.key in rows:
                raise ResourceTwice(field=join(join(field, index), "id"))
            rows[row.key] = row
        with about(field):
            _check_together({instance.host for instance in instances})
        return list(rows.values())

    def _instances(self, items: Sequence[Mapping[str, Any]], field: str) -> list[Instance]:
        """A resource that says where it is becomes known by that; others have to be known by their id."""
        described = [self._described(item, join(field, index)) for index, item in enumerate(items)]
        placed = iter(self._registry.register([each for each in described if each is not None], brief=True))
        ids = {_id(item) for item in items} - {""}
        known = self.uow.instances.by_ids(ids, self._registry.project_id)
        return [
            self._registered(item, known, join(field, index))
            if each is None
            else _agreeing(next(placed), item, known, join(field, index))
            for index, (item, each) in enumerate(zip(items, described, strict=True))
        ]

    def _described(self, item: Mapping[str, Any], where: str) -> Described | None:
        """None: it does not say where it is."""
        type, given = item["type"], item.get("extra_info")
        properties = own_properties(self._plugin(type, join(where, "type")), given)
        if properties is None:
            return None
        access, place = [self._access], join(where, "extra_info")
        return self._registry.describe(type, item["name"], properties, access, place, item.get("id"))

    def _plugin(self, type: str, field: str) -> ProtectablePlugin:
        known = type in self._registry.protectables and type in self._provider.protections
        if not known:
            raise InvalidField(field=field, reason="is no type that this provider protects")
        return self._registry.protectables.get(type)

    def _registered(self, item: Mapping[str, Any], known: Mapping[str, Instance], where: str) -> Instance:
        plugin, here = self._registry.protectables.get(item["type"]), join(where, "id")
        needed = ", ".join(plugin.properties_schema().get("required", ()))
        if not item.get("id"):
            raise InvalidField(field=here, reason=f"is required without {needed} in extra_info")
        instance = known.get(_id(item))
        if instance is None or instance.type != item["type"]:
            reason = f"is no registered instance, and extra_info has no {needed}"
            raise InvalidField(field=here, reason=reason)
        with about(here):
            check_properties(plugin, instance.properties, [self._access])
        return instance

    def check_parameters(
        self, known: parameters.Parameters, rows: Sequence[PlanResource], field: str
    ) -> None:
        """The parameters of a plan hold for other resources from now on.

        :raises InvalidField: one of them needs a parameter that was never said; `field` is where they stand.
        """
        with about(field):
            parameters.check_whole(
                known, self._provider.options_schemas, "parameters", [row.key for row in rows]
            )

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


def _agreeing(
    placed: Instance, item: Mapping[str, Any], known: Mapping[str, Instance], where: str
) -> Instance:
    """:raises OtherResource: the id that it is given is another's."""
    if known.get(_id(item), placed).id != placed.id:
        raise OtherResource(field=join(where, "id"))
    return placed


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
