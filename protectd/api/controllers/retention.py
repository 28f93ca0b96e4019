"""Retention of a scheduled operation, and of a plan: what stays and what would go. Nothing is removed."""

from __future__ import annotations

from typing import ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.links import path_id
from protectd.api.policies import plans as plan_policies
from protectd.api.policies import scheduled_operations as policies
from protectd.api.schemas import retention as schemas
from protectd.api.terms import OF_ANYONE, Terms
from protectd.api.views import retention as views
from protectd.common.errors import InvalidField
from protectd.domain import expiry, plan_expiry
from protectd.domain.retention import RetentionRules
from protectd.model.models import ScheduledOperation


class RetentionController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/scheduled_operations/{scheduled_operation_id}/retention"
    terms = {
        "GET": Terms({200: schemas.ONE}, query=OF_ANYONE),
        "POST": Terms({200: schemas.ONE}, body=schemas.TRY, narrowed=schemas.try_of, query=OF_ANYONE),
    }

    def __init__(self, operation_id: str) -> None:
        self.operation_id = operation_id

    def on_get(self, call: Call) -> Answer:
        """What would go now by its own rules, and what went with its last run."""
        return self._shown(call, None)

    def on_post(self, call: Call) -> Answer:
        """What would go now by the rules in the body."""
        body = call.body()[schemas.KEY]
        return self._shown(call, RetentionRules.parse(body, schemas.KEY))

    def _shown(self, call: Call, rules: RetentionRules | None) -> Answer:
        operation = self._operation(call)
        found = expiry.review(call.uow, operation, call.runtime.clock.now(), rules)
        last = call.uow.tasks.newest_ended(operation.kind, operation.id, "retain")
        return Answer({schemas.KEY: views.detail(found, last)})

    def _operation(self, call: Call) -> ScheduledOperation:
        id = path_id(self.operation_id, "scheduled_operation_id")
        operation = call.uow.scheduled_operations.get(id, call.scope)
        call.can(policies.GET, operation)
        if operation.plan_id is None:
            raise InvalidField(field="scheduled_operation_id", reason="is of an operation without a plan")
        return operation


class PlanRetentionController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/plans/{plan_id}/retention"
    terms = {"GET": Terms({200: schemas.OF_PLAN}, query=OF_ANYONE)}

    def __init__(self, plan_id: str) -> None:
        self.plan_id = plan_id

    def on_get(self, call: Call) -> Answer:
        """What would go now by the rules of the plan's scheduled operations, and what stays."""
        plan = call.uow.plans.get(path_id(self.plan_id, "plan_id"), call.scope)
        call.can(plan_policies.GET, plan)
        found = plan_expiry.review_plan(call.uow, plan, call.runtime.clock.now())
        return Answer({schemas.KEY: views.of_plan(found)})
