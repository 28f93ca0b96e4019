"""What can be protected: types, and instances of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.controllers.lists import Shelf, listed
from protectd.api.links import path_id
from protectd.api.policies import protectables as policies
from protectd.api.schemas import instances as schemas
from protectd.api.schemas.common import TEXT
from protectd.api.schemas.narrowing import ANYTHING
from protectd.api.terms import OF_ANYONE, Listing, Parameter, Terms
from protectd.api.views import protectables as views
from protectd.common.fields import below
from protectd.model.models import Instance
from protectd.model.repositories.base import Page
from protectd.model.repositories.instances import InstanceNotFound, InstanceRepository
from protectd.plugin.base import Resource

PARAMETERS = Parameter(
    "parameters",
    {"type": "object", "propertyNames": TEXT, "additionalProperties": ANYTHING},
    "what the plug-in is asked with; also as Python writes it",
    in_json=True,
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
        return Answer({schemas.TYPE_KEY: views.protectable(call.runtime.protectables, self.type)})


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
        """What the project has registered, and behind it what its plug-in finds by itself."""
        call.can(policies.INSTANCE_GET_ALL)
        call.runtime.protectables.get(self.type)
        found = discovered(call, self.type, call.query.mapping("parameters"))
        return listed(
            call,
            "instances",
            ["protectables", self.type, "instances"],
            lambda page: with_children(call, self.type, self._page(call, page, found)),
            views.instance,
            InstanceRepository.sort_keys,
        )

    def _page(self, call: Call, page: Page, found: Sequence[Resource]) -> list[Instance | Resource]:
        """Where some are found, they are a list of their own behind that of the registered ones."""
        filters = {"type": self.type} | call.filters()
        rest = self._unknown(call, found, filters.get("name"))
        if page.marker in {each.id for each in rest}:
            return Shelf(rest).page(page)
        rows = call.uow.instances.page(page, call.scope, filters)
        return [*rows, *Shelf(rest).page(replace(page, marker=None, offset=0, limit=page.limit - len(rows)))]

    def _unknown(self, call: Call, found: Sequence[Resource], name: str | None) -> list[Resource]:
        """Those that are not registered."""
        if not found:
            return []
        known = call.uow.instances.by_ids([each.id for each in found], call.scope)
        return [each for each in found if each.id not in known and name in (None, each.name)]

    def on_post(self, call: Call) -> Answer:
        """Register one: 201; the one there is, if the project has it already. What hangs below it is told by
        GET: no plug-in is waited for here."""
        call.can(policies.INSTANCE_CREATE)
        call.runtime.protectables.get(self.type)
        body = call.body()[schemas.KEY]
        accesses = [call.access(provider) for provider in call.runtime.providers.all()]
        registry = call.registry()
        described = registry.describe(
            self.type, body["name"], body["properties"], accesses, f"{schemas.KEY}.properties"
        )
        (instance,) = registry.register([described])
        return Answer(
            {schemas.KEY: views.instance(views.Shown(instance))},
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
        """With what hangs right below it now."""
        call.runtime.protectables.get(self.type)
        instance_id = path_id(self.instance_id, "instance_id")
        parameters = call.query.mapping("parameters")
        registered = call.uow.instances.find(instance_id, call.scope)
        if registered is not None and registered.type == self.type:
            call.can(policies.INSTANCE_GET, registered)
            return Answer({schemas.KEY: shown(call, registered)})
        call.can(policies.INSTANCE_GET)
        for found in discovered(call, self.type, parameters):
            if found.id == instance_id:
                return Answer({schemas.KEY: shown(call, found)})
        raise InstanceNotFound(id=instance_id)


def discovered(call: Call, type_: str, parameters: Mapping[str, Any]) -> list[Resource]:
    """What the plug-in finds by itself. :param parameters: those of the query."""
    with below("parameters"):
        return call.runtime.discovery.instances(type_, call.context, parameters)


def with_children(call: Call, type_: str, each: Sequence[Instance | Resource]) -> list[views.Shown]:
    """The children of all are asked for at once, when the database is not needed any more."""
    call.close()
    resources = [views.as_resource(item) for item in each]
    children, failed = call.runtime.discovery.dependents(type_, resources)
    return [views.Shown(item, below, failed) for item, below in zip(each, children, strict=True)]


def shown(call: Call, each: Instance | Resource) -> dict[str, Any]:
    (one,) = with_children(call, each.type, [each])
    return views.instance(one)
