"""Scheduled operations: what may be created and changed, and what each type of them needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from protectd.common.context import RequestContext
from protectd.common.errors import Forbidden, InvalidField, NotFound
from protectd.common.fields import about, join
from protectd.common.ids import canonical_id, is_uuid_like, new_id
from protectd.domain import copies, parameters, validation
from protectd.domain.checkpoints import PlanOfOtherProvider
from protectd.domain.occurrences import SKIPPED, WAITING
from protectd.domain.providers import Provider, Providers
from protectd.domain.retention import RetentionRules
from protectd.model.models import Plan, ScheduledOperation
from protectd.model.models.verifications import DEPTHS
from protectd.model.unit_of_work import UnitOfWork

PROTECT = "protect"
RETENTION_PROTECT = "retention_protect"
VERIFY = "verify"
COPY = "copy"
PRUNE = "prune"

_PARAMETERS = {"type": "object", "maxProperties": 1024}


class NoRights(Forbidden):
    code = "rights.none"
    message = "{user_id} has no rights in project {project_id}: it could never run"


@dataclass(frozen=True, slots=True)
class OperationType:
    """
    :ivar rule: the policy that whoever made it has to pass, when it is made and each time it runs.
    :ivar also: policies that are asked beside it when it is made or changed. Not when it runs: who may not
        have things removed any more still has them saved.
    :ivar needs_plan: its definition names a plan.
    :ivar schema: of what else is looked at; other keys are kept and not heeded.
    """

    rule: str
    needs_plan: bool = True
    schema: Mapping[str, Any] = field(default_factory=dict)
    also: tuple[str, ...] = ()

    @property
    def rules(self) -> tuple[str, ...]:
        """All that whoever says what is done has to pass."""
        return (self.rule, *self.also)


TYPES: Mapping[str, OperationType] = {
    PROTECT: OperationType("provider:checkpoint_create"),
    RETENTION_PROTECT: OperationType("provider:checkpoint_create", also=("provider:checkpoint_delete",)),
    VERIFY: OperationType(
        "verification:create", schema={"depth": {"enum": list(DEPTHS)}, "parameters": _PARAMETERS}
    ),
    COPY: OperationType("copy:create", schema={"parameters": _PARAMETERS}),
    PRUNE: OperationType("provider:checkpoint_delete", needs_plan=False),
}


def type_of(name: str, field: str) -> OperationType:
    """:raises InvalidField: there is none such."""
    if name not in TYPES:
        raise InvalidField(field=field, reason="must be one of " + ", ".join(TYPES))
    return TYPES[name]


def create(
    uow: UnitOfWork,
    providers: Providers,
    context: RequestContext,
    project_id: str | None,
    wanted: Mapping[str, Any],
    now: datetime,
    field: str,
) -> ScheduledOperation:
    """One that runs from now on, with the rights of whoever asks; added to the unit of work.

    :param project_id: whose trigger and plan may be named; None: any.
    :param wanted: fits the schema of a scheduled operation; `field` is where it stands.
    """
    with about(join(field, "trigger_id")):
        trigger = uow.triggers.get(canonical_id(wanted["trigger_id"]), project_id, lock=True)
    operation = ScheduledOperation(
        id=new_id(),
        name=wanted["name"],
        description=wanted.get("description"),
        operation_type=wanted["operation_type"],
        project_id=trigger.project_id,
        user_id=context.user_id,
        roles=list(context.roles),
        trigger_id=trigger.id,
        enabled=wanted.get("enabled", True),
        enabled_at=now,
    )
    define(uow, providers, operation, wanted["operation_definition"], join(field, "operation_definition"))
    return uow.scheduled_operations.add(operation)


def update(
    uow: UnitOfWork,
    providers: Providers,
    context: RequestContext,
    operation: ScheduledOperation,
    wanted: Mapping[str, Any],
    now: datetime,
    field: str,
) -> None:
    """Change what is given, from the next time on. Its trigger, and the one it is to have, are locked by the
    caller, who has asked the rules of what it does where it `needs_rights`.

    Who gives it another definition says what is done: it runs with their rights then. Only an administrator
    from another project, who has none to give in this one, leaves it those it has.
    """
    moves = canonical_id(wanted.get("trigger_id", operation.trigger_id)) != operation.trigger_id
    if moves:
        with about(join(field, "trigger_id")):
            trigger = uow.triggers.get(canonical_id(wanted["trigger_id"]), operation.project_id)
        _settle(uow, operation, now, "the operation was given another trigger meanwhile")
        operation.trigger_id = trigger.id
    if "operation_definition" in wanted:
        where, former = join(field, "operation_definition"), operation.operation_definition
        define(uow, providers, operation, wanted["operation_definition"], where)
        if operation.operation_definition != former and context.project_id == operation.project_id:
            operation.user_id, operation.roles = context.user_id, list(context.roles)
    if not wanted.get("enabled", True):
        _settle(uow, operation, now, "it was disabled meanwhile")
    if wanted.get("enabled", operation.enabled) and (moves or not operation.enabled):
        operation.enabled_at = now
    for name in wanted.keys() & {"name", "description", "enabled"}:
        setattr(operation, name, wanted[name])


def needs_rights(wanted: Mapping[str, Any]) -> bool:
    """Whether a change lets something be done that would not be else: another thing, or at another time."""
    return bool(wanted.keys() & {"operation_definition", "trigger_id"} or wanted.get("enabled"))


def delete(uow: UnitOfWork, operation: ScheduledOperation, now: datetime) -> None:
    """It does not run any more, and waits for nothing. Its trigger is locked by the caller."""
    _settle(uow, operation, now, "it was deleted meanwhile")
    uow.scheduled_operations.delete(operation)


def _settle(uow: UnitOfWork, operation: ScheduledOperation, now: datetime, reason: str) -> None:
    """What waits for it has its outcome: nobody looks for it any more."""
    uow.occurrences.decide_all(operation.id, WAITING, SKIPPED, reason, now)


def define(
    uow: UnitOfWork, providers: Providers, operation: ScheduledOperation, given: Any, field: str
) -> None:
    """Let an operation do what a definition says; its plan is locked, so that nobody deletes it meanwhile."""
    definition, wanted = read(given, field), type_of(operation.operation_type, "operation_type")
    provider = _provider(providers, definition, field)
    plan_id = _id(definition, "plan_id", field) if wanted.needs_plan or definition.get("plan_id") else None
    check_definition(operation.operation_type, definition, field)
    if operation.operation_type == RETENTION_PROTECT:
        RetentionRules.parse(definition, field)
    if plan_id is not None:
        with about(join(field, "plan_id")):
            plan = uow.plans.get(plan_id, operation.project_id, lock=True)
        if plan.provider_id != provider.id:
            raise PlanOfOtherProvider(
                plan_id=plan.id, provider_id=plan.provider_id, field=join(field, "provider_id")
            )
        _check_parameters(providers, provider, operation.operation_type, plan, definition, field)
    operation.operation_definition = definition
    operation.plan_id, operation.provider_id = plan_id, provider.id


def check_definition(type: str, definition: Mapping[str, Any], field: str) -> None:
    """What of it this type looks at, before anything that is named there.

    :raises InvalidField: there is no such type, or it takes nothing of the kind.
    """
    schema = type_of(type, "operation_type").schema
    if schema:
        validation.check(definition, {"type": "object", "properties": dict(schema)}, field)


def _check_parameters(
    providers: Providers,
    provider: Provider,
    type: str,
    plan: Plan,
    definition: Mapping[str, Any],
    field: str,
) -> None:
    """As at each run, so that nobody hears of it only then."""
    given, where = definition.get("parameters") or {}, join(field, "parameters")
    if type == COPY:
        copies.target_of(providers, provider, given, where)
    if type == VERIFY:
        keys = {resource.key for resource in plan.resources}
        parameters.check(given, provider.verify_schemas, where, keys)


def read(given: Any, field: str) -> dict[str, Any]:
    """A definition, or the text `plan_id=...,provider_id=...` that a command line sends instead.

    :raises InvalidField: it is neither.
    """
    if isinstance(given, dict):
        return dict(given)
    pairs = [part.partition("=") for part in str(given).split(",")]
    if any(not name.strip() or not equals for name, equals, _ in pairs):
        raise InvalidField(
            field=field, reason="must be an object, or a text such as plan_id=...,provider_id=..."
        )
    return {name.strip(): value.strip() for name, _, value in pairs}


def _provider(providers: Providers, definition: Mapping[str, Any], field: str) -> Provider:
    try:
        return providers.get(_id(definition, "provider_id", field))
    except NotFound:
        raise InvalidField(field=join(field, "provider_id"), reason="is no provider") from None


def _id(definition: Mapping[str, Any], name: str, field: str) -> str:
    if name not in definition:
        raise InvalidField(field=join(field, name), reason="is required")
    if not is_uuid_like(definition[name]):
        raise InvalidField(field=join(field, name), reason="must be a UUID")
    return canonical_id(definition[name])
