"""Daemons: list, let work or not, remove. For administrators."""

from __future__ import annotations

from typing import Any, ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.links import path_number
from protectd.api.policies import services as policies
from protectd.api.schemas import services as schemas
from protectd.api.terms import Terms, text
from protectd.api.views import services as views
from protectd.domain import services
from protectd.model.models import Service


class ServicesController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/os-services"
    terms = {"GET": Terms({200: schemas.ALL}, query=(text("host"), text("binary")), refusals=(403,))}

    def child(self, segment: str, call: Call) -> Controller | None:
        return ServiceController(segment)

    def on_get(self, call: Call) -> Answer:
        """All of them, or those of a host or a name. The contract knows no pages here."""
        call.can(policies.GET_ALL)
        found = call.uow.services.all(**call.filters())
        return Answer({"services": [shown(call, service) for service in found]})


class ServiceController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/os-services/{service_id}"
    terms = {
        "PUT": Terms({200: schemas.ONE}, body=schemas.UPDATE, narrowed=schemas.update_of, refusals=(403,)),
        "DELETE": Terms({204: None}, refusals=(403,)),
    }

    def __init__(self, service_id: str) -> None:
        self.service_id = service_id

    def on_put(self, call: Call) -> Answer:
        """Enable or disable it: a worker that is disabled takes no new operation and ends those it has."""
        call.can(policies.UPDATE)
        body = call.body()
        service = self._service(call)
        services.update(call.uow, service, body, call.runtime.clock.now())
        return Answer({schemas.KEY: shown(call, service)})

    def on_delete(self, call: Call) -> Answer:
        """Forget one that is gone: 204. One that lives is back with its next heartbeat."""
        call.can(policies.DELETE)
        call.uow.services.remove(self._service(call), call.runtime.clock.now())
        return Answer(None, status=204)

    def _service(self, call: Call) -> Service:
        return call.uow.services.get(path_number(self.service_id, "service_id"))


def shown(call: Call, service: Service) -> dict[str, Any]:
    runtime = call.runtime
    up = services.is_up(service, runtime.clock.now(), runtime.options.service_down_time_s)
    return views.detail(service, up)
