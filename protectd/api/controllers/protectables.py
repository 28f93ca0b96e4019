"""What can be protected: types, and instances of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.controllers.lists import Shelf, listed
from protectd.api.links import path_id
from protectd.api.policies import protectables as policies
from protectd.api.schemas import instances as schemas
from protectd.api.terms import OF_ANYONE, Listing, Parameter, Terms
from protectd.api.views import protectables as views
from protectd.common.fields import below
from protectd.model.models import Instance
from protectd.model.repositories.base import Page
from protectd.model.repositories.instances import InstanceNotFound, InstanceRepository
from protectd.plugin.base import ProtectablePlugin, Resource

PARAMETERS = Parameter(
    "parameters", {"type": "object"}, "what the plug-in is asked with; also as Python writes it", in_json=True
)
LISTING = Listing(InstanceRepository.sort_keys, ("name",), more=(PARAMETERS,))


class ProtectablesController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/protectables"
    terms = {"GET": Terms({200: schemas.TYPES})}

    def child(self, segment: str, call: Call) -> Controller | None:
        return ProtectableController(segment)

    def on_get(self, call: Call) -> Answer:
        """The types; plain words, no paging."""
        call.can(policies.GET_ALL)
        return Answer({schemas.TYPE_KEY: call.runtime.protectables.types()})


class ProtectableController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/protectables/{protectable_type}"
    terms = {"GET": Terms({200: schemas.TYPE})}

    def __init__(self, type: str) -> None:
        self.type = type

    def child(self, segment: str, call: Call) -> Controller | None:
        return InstancesController(self.type) if segment == "instances" else None

    def on_get(self, call: Call) -> Answer:
        call.can(policies.GET)
        return Answer({schemas.TYPE_KEY: views.protectable(call.runtime.protectables.get(self.type))})


class InstancesController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/protectables/{protectable_type}/instances"
    terms = {
        "GET": Terms({200: schemas.PAGE}, query=LISTING.query()),
        "POST": Terms({201: schemas.ONE}, body=schemas.CREATE, narrowed=schemas.create_of, refusals=(403,)),
    }

    def __init__(self, type: str) -> None:
        self.type = type

    def child(self, segment: str, call: Call) -> Controller | None:
        return InstanceController(self.type, segment)

    def on_get(self, call: Call) -> Answer:
        """What the project has registered, and what its plug-in finds by itself."""
        call.can(policies.INSTANCE_GET_ALL)
        plugin = call.runtime.protectables.get(self.type)
        found = discovered(call, plugin, call.query.mapping("parameters"))
        return listed(
            call,
            "instances",
            ["protectables", self.type, "instances"],
            lambda page: self._page(call, page, found),
            lambda each: shown(plugin, each),
            InstanceRepository.sort_keys,
        )

    def _page(self, call: Call, page: Page, found: Sequence[Resource]) -> list[Any]:
        """Where some are found, pages are cut from all of them together."""
        filters = {"type": self.type} | call.filters()
        if not found:
            return list(call.uow.instances.page(page, call.scope, filters))
        rows = call.uow.instances.page(Page(call.runtime.options.max_limit), call.scope, filters)
        known = {row.id for row in rows}
        return Shelf([*rows, *(each for each in found if each.id not in known)]).page(page)

    def on_post(self, call: Call) -> Answer:
        """Register one: 201; the one there is, if the project has it already."""
        call.can(policies.INSTANCE_CREATE)
        plugin = call.runtime.protectables.get(self.type)
        body = call.body()[schemas.KEY]
        accesses = [call.access(provider) for provider in call.runtime.providers.all()]
        registry = call.registry()
        described = registry.describe(
            self.type, body["name"], body["properties"], accesses, f"{schemas.KEY}.properties"
        )
        (instance,) = registry.register([described])
        return Answer(
            {schemas.KEY: shown(plugin, instance)},
            status=201,
            location=call.url("protectables", self.type, "instances", instance.id),
        )


class InstanceController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/protectables/{protectable_type}/instances/{instance_id}"
    terms = {"GET": Terms({200: schemas.ONE}, query=(*OF_ANYONE, PARAMETERS))}

    def __init__(self, type: str, instance_id: str) -> None:
        self.type = type
        self.instance_id = instance_id

    def on_get(self, call: Call) -> Answer:
        plugin = call.runtime.protectables.get(self.type)
        instance_id = path_id(self.instance_id, "instance_id")
        parameters = call.query.mapping("parameters")
        registered = call.uow.instances.find(instance_id, call.scope)
        if registered is not None and registered.type == self.type:
            call.can(policies.INSTANCE_GET, registered)
            return Answer({schemas.KEY: shown(plugin, registered)})
        call.can(policies.INSTANCE_GET)
        for found in discovered(call, plugin, parameters):
            if found.id == instance_id:
                return Answer({schemas.KEY: shown(plugin, found)})
        raise InstanceNotFound(id=instance_id)


def discovered(call: Call, plugin: ProtectablePlugin, parameters: Mapping[str, Any]) -> list[Resource]:
    """What the plug-in finds by itself. :param parameters: those of the query."""
    with below("parameters"):
        return list(plugin.list_instances(call.context, parameters))


def shown(plugin: ProtectablePlugin, each: Instance | Resource) -> dict[str, Any]:
    if isinstance(each, Instance):
        return views.registered(each, plugin.dependents(views.as_resource(each)))
    return views.discovered(each, plugin.dependents(each))
