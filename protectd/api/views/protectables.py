"""Types that can be protected, and instances of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from protectd.api.views.common import moment
from protectd.domain.providers import Protectables
from protectd.model.models import Instance
from protectd.plugin.base import Resource


@dataclass(frozen=True)
class Shown:
    """An instance with what hangs right below it.

    :ivar failed: types that could not be asked for theirs.
    """

    item: Instance | Resource
    children: Sequence[Resource] = ()
    failed: Sequence[str] = ()

    @property
    def id(self) -> str:
        return self.item.id


def protectable(protectables: Protectables, type_: str) -> dict[str, Any]:
    return {
        "name": type_,
        "dependent_types": protectables.dependent_types(type_),
        "properties_schema": protectables.get(type_).properties_schema(),
    }


def instance(shown: Shown) -> dict[str, Any]:
    """`unavailable_types` stands there only when children of some type could not be looked for."""
    item = shown.item
    told = _registered(item) if isinstance(item, Instance) else resource(item)
    told["dependent_resources"] = [resource(child) for child in shown.children]
    return told | ({"unavailable_types": list(shown.failed)} if shown.failed else {})


def _registered(instance: Instance) -> dict[str, Any]:
    """`extra_info` is what a plan's resource would say to mean the same thing."""
    return {
        "id": instance.id,
        "type": instance.type,
        "name": instance.name,
        "extra_info": dict(instance.properties),
        "properties": dict(instance.properties),
        "host": instance.host,
        "project_id": instance.project_id,
        "created_at": moment(instance.created_at),
        "updated_at": moment(instance.updated_at),
    }


def resource(found: Resource) -> dict[str, Any]:
    extra_info = None if found.extra_info is None else dict(found.extra_info)
    return {"id": found.id, "type": found.type, "name": found.name, "extra_info": extra_info}


def as_resource(item: Instance | Resource) -> Resource:
    if isinstance(item, Resource):
        return item
    return Resource(item.id, item.type, item.name, item.properties)
