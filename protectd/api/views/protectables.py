"""Types that can be protected, and instances of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from protectd.api.views.common import moment
from protectd.model.models import Instance
from protectd.plugin.base import ProtectablePlugin, Resource


def protectable(plugin: ProtectablePlugin) -> dict[str, Any]:
    return {
        "name": plugin.resource_type(),
        "dependent_types": list(plugin.dependent_types()),
        "properties_schema": plugin.properties_schema(),
    }


def registered(instance: Instance, dependents: Iterable[Resource] = ()) -> dict[str, Any]:
    """`extra_info` is what a plan's resource would say to mean the same thing."""
    return {
        "id": instance.id,
        "type": instance.type,
        "name": instance.name,
        "extra_info": dict(instance.properties),
        "properties": dict(instance.properties),
        "dependent_resources": [resource(dependent) for dependent in dependents],
        "host": instance.host,
        "project_id": instance.project_id,
        "created_at": moment(instance.created_at),
        "updated_at": moment(instance.updated_at),
    }


def discovered(found: Resource, dependents: Iterable[Resource] = ()) -> dict[str, Any]:
    return resource(found) | {"dependent_resources": [resource(dependent) for dependent in dependents]}


def resource(found: Resource) -> dict[str, Any]:
    extra_info = None if found.extra_info is None else dict(found.extra_info)
    return {"id": found.id, "type": found.type, "name": found.name, "extra_info": extra_info}


def as_resource(instance: Instance) -> Resource:
    return Resource(instance.id, instance.type, instance.name, instance.properties)
