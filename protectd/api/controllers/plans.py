"""Plans: create, list, show, change, delete."""

from __future__ import annotations

from typing import Any, ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.controllers.lists import listed
from protectd.api.controllers.retention import PlanRetentionController
from protectd.api.links import path_id
from protectd.api.policies import plans as policies
from protectd.api.schemas import plans as schemas
from protectd.api.terms import OF_ANYONE, Listing, Terms
from protectd.api.views import plans as views
from protectd.domain import plans
from protectd.domain.resources import Resolver
from protectd.model.models import Plan
from protectd.model.repositories.plans import PlanRepository

LISTING = Listing(PlanRepository.sort_keys, ("name", "description", "status", "provider_id"))


class PlansController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/plans"
    terms = {
        "GET": Terms({200: schemas.PAGE}, query=LISTING.query()),
        "POST": Terms(
            {201: schemas.ONE}, body=schemas.CREATE, narrowed=schemas.create_of, refusals=(403, 409)
        ),
    }

    def child(self, segment: str, call: Call) -> Controller | None:
        return PlanController(segment)

    def on_get(self, call: Call) -> Answer:
        """The project's plans; newest first if nothing else is asked."""
        call.can(policies.GET_ALL)
        filters = call.filters()
        return listed(
            call,
            "plans",
            ["plans"],
            lambda page: call.uow.plans.looks(page, call.scope, filters),
            views.detail,
            PlanRepository.sort_keys,
        )

    def on_post(self, call: Call) -> Answer:
        """Keep a plan, suspended: 201."""
        call.can(policies.CREATE)
        body = call.body()[schemas.KEY]
        provider = call.provider_in(body, schemas.KEY)
        plan = plans.create(call.registry(), provider, call.access(provider), body, schemas.KEY)
        call.quotas.take(call.project_id, plans=1)
        return Answer({schemas.KEY: views.detail(plan)}, status=201, location=call.url("plans", plan.id))


class PlanController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/plans/{plan_id}"
    terms = {
        "GET": Terms({200: schemas.ONE}, query=OF_ANYONE),
        "PUT": Terms(
            {200: schemas.ONE},
            body=schemas.UPDATE,
            narrowed=schemas.update_of,
            query=OF_ANYONE,
            refusals=(403, 409),
        ),
        "DELETE": Terms({204: None}, query=OF_ANYONE, refusals=(409,)),
    }

    def __init__(self, plan_id: str) -> None:
        self.plan_id = plan_id

    def child(self, segment: str, call: Call) -> Controller | None:
        return PlanRetentionController(self.plan_id) if segment == "retention" else None

    def on_get(self, call: Call) -> Answer:
        plan = call.uow.plans.look(self._id, call.scope)
        call.can(policies.GET, plan)
        return Answer({schemas.KEY: views.detail(plan)})

    def on_put(self, call: Call) -> Answer:
        """Change what is given. A started plan can only be suspended."""
        body = call.body()[schemas.KEY]
        plan = self._plan(call)
        call.can(policies.UPDATE, plan)
        plans.update(plan, body, self._resolver(call, plan, body), schemas.KEY)
        call.uow.flush()
        return Answer({schemas.KEY: views.detail(plan)})

    def on_delete(self, call: Call) -> Answer:
        """Its checkpoints stay: 204, or 409 while one is being made."""
        plan = self._plan(call)
        call.can(policies.DELETE, plan)
        plans.delete(call.uow, plan)
        return Answer(None, status=204)

    @property
    def _id(self) -> str:
        return path_id(self.plan_id, "plan_id")

    def _plan(self, call: Call) -> Plan:
        """To be changed."""
        return call.uow.plans.get(self._id, call.scope, lock=True)

    def _resolver(self, call: Call, plan: Plan, body: dict[str, Any]) -> Resolver | None:
        if "resources" not in body:
            return None
        provider = call.runtime.providers.get(plan.provider_id)
        return Resolver(call.registry(plan.project_id), provider, call.access(provider))
