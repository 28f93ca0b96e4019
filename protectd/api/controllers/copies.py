"""Copies of a plan's checkpoints. What comes of them shows in the new checkpoints."""

from __future__ import annotations

from typing import ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.policies import copies as policies
from protectd.api.schemas import copies as schemas
from protectd.api.terms import OF_ANYONE, Terms
from protectd.api.views import copies as views
from protectd.common.fields import about
from protectd.common.ids import canonical_id
from protectd.domain import copies


class CopiesController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/providers/{provider_id}/checkpoints/action"
    terms = {
        "POST": Terms(
            {202: schemas.ONE},
            body=schemas.CREATE,
            narrowed=schemas.create_of,
            query=OF_ANYONE,
            refusals=(403, 409),
        ),
    }

    def __init__(self, provider_id: str) -> None:
        self.provider_id = provider_id

    def on_post(self, call: Call) -> Answer:
        """Copy every available checkpoint of a plan that is not copied yet: 202, and which become which."""
        call.can(policies.CREATE)
        body = call.body()[schemas.KEY]
        provider = call.provider(self.provider_id)
        target = copies.target_of(
            call.runtime.providers, provider, body["parameters"], f"{schemas.KEY}.parameters"
        )
        with about(f"{schemas.KEY}.plan_id"):
            plan = call.uow.plans.get(canonical_id(body["plan_id"]), call.scope, lock=True)
            found = copies.sources(call.uow, plan, provider, target)
            pairs = copies.start(call.uow, call.tasks, plan, found, target)
        return Answer({schemas.KEY: views.detail(plan, body["parameters"], pairs)}, status=202)
