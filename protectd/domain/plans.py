"""Plans: what may be created, changed and deleted, and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protectd.common.errors import BadRequest, Conflict
from protectd.common.fields import join
from protectd.common.ids import new_id
from protectd.domain import parameters, quota
from protectd.domain.instances import Registry
from protectd.domain.providers import Provider
from protectd.domain.resources import Resolver
from protectd.model.models import Plan
from protectd.model.repositories.pictures import drawn
from protectd.model.states import CheckpointStatus, PlanStatus, check_move
from protectd.model.unit_of_work import UnitOfWork
from protectd.plugin.base import Access


class PlanNotSuspended(BadRequest):
    """The contract answers 400 here."""

    code = "plan.not_suspended"
    message = "plan {plan_id} is {state}; suspend it before it is changed"


class PlanBusy(Conflict):
    code = "plan.busy"
    message = "plan {plan_id} has checkpoint {checkpoint_id} in state {state}"


class PlanScheduled(Conflict):
    code = "plan.scheduled"
    message = "plan {plan_id} is used by scheduled operation {scheduled_operation_id}"


def create(
    registry: Registry, provider: Provider, access: Access, wanted: Mapping[str, Any], field: str
) -> Plan:
    """A suspended plan, written in the registry's unit of work and only shown from here on.

    :param wanted: fits the schema of a plan; `field` is where it stands.
    """
    resources = Resolver(registry, provider, access).resolve(wanted["resources"], join(field, "resources"))
    keys = [resource.key for resource in resources]
    parameters.check(wanted["parameters"], provider.options_schemas, join(field, "parameters"), keys)
    plan = {
        "id": new_id(),
        "name": wanted["name"],
        "description": wanted.get("description"),
        "provider_id": provider.id,
        "project_id": registry.project_id,
        "status": PlanStatus.SUSPENDED,
        "parameters": wanted["parameters"],
        "resources": resources,
    }
    return registry.uow.plans.insert(drawn(Plan, plan))


def update(plan: Plan, wanted: Mapping[str, Any], resolver: Resolver | None, field: str) -> None:
    """Change a plan that is suspended; a started one can only be suspended. The parameters of a resource
    that leaves stay with the plan: they hold again when it comes back.

    :param resolver: needed where `wanted` has resources.
    :raises PlanNotSuspended: it is started and something else than its status is to change.
    """
    status = wanted.get("status", plan.status)
    others = sorted(wanted.keys() - {"status"})
    if plan.status != PlanStatus.SUSPENDED and others:
        raise PlanNotSuspended(plan_id=plan.id, state=plan.status, field=join(field, others[0]))
    if status != plan.status:
        check_move(plan.kind, plan.status, status)
        plan.held = status == PlanStatus.SUSPENDED
    for name in wanted.keys() & {"name", "description", "status"}:
        setattr(plan, name, wanted[name])
    if resolver is not None and "resources" in wanted:
        rows = resolver.resolve(wanted["resources"], join(field, "resources"))
        resolver.check_parameters(plan.parameters, rows, join(field, "resources"))
        resolver.uow.plans.replace_resources(plan, rows)


def delete(uow: UnitOfWork, plan: Plan) -> None:
    """Remove a plan; its checkpoints stay and can be restored. The plan's row is locked by the caller.

    :raises PlanScheduled: a scheduled operation needs it.
    :raises PlanBusy: a checkpoint of it is being made.
    """
    scheduled = uow.scheduled_operations.one_of_plan(plan.id)
    if scheduled is not None:
        raise PlanScheduled(plan_id=plan.id, scheduled_operation_id=scheduled.id)
    running = (CheckpointStatus.PENDING, CheckpointStatus.PROTECTING)
    for checkpoint in uow.checkpoints.in_status(plan.id, running):
        raise PlanBusy(plan_id=plan.id, checkpoint_id=checkpoint.id, state=checkpoint.status)
    uow.plans.delete(plan)
    quota.give(uow, plan.project_id, plans=1)
