"""Scheduled operations: create, list, show, change, delete, and what came of each of their times."""

from __future__ import annotations

from typing import Any, ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.controllers.lists import listed
from protectd.api.controllers.retention import RetentionController
from protectd.api.links import path_id
from protectd.api.policies import scheduled_operations as policies
from protectd.api.schemas import scheduled_operations as schemas
from protectd.api.terms import OF_ANYONE, Listing, Parameter, Terms
from protectd.api.views import scheduled_operations as views
from protectd.common.fields import join
from protectd.common.ids import canonical_id
from protectd.domain import scheduled_operations
from protectd.domain.scheduled_operations import TYPES, NoRights
from protectd.model.models import ScheduledOperation
from protectd.model.repositories.base import Page
from protectd.model.repositories.scheduled_operations import (
    OccurrenceRepository,
    ScheduledOperationRepository,
)
from protectd.plugin.base import Identity

LISTING = Listing(
    ScheduledOperationRepository.sort_keys,
    ("name", "operation_type", "trigger_id", "operation_definition", "plan_id"),
    [Parameter("enabled", {"type": "boolean"}, "only those that run, or only those that rest")],
)
OCCURRENCES = Listing(OccurrenceRepository.sort_keys, ("outcome",))


class ScheduledOperationsController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/scheduled_operations"
    terms = {
        "GET": Terms({200: schemas.PAGE}, query=LISTING.query()),
        "POST": Terms({201: schemas.ONE}, body=schemas.CREATE, narrowed=schemas.create_of, query=OF_ANYONE),
    }

    def child(self, segment: str, call: Call) -> Controller | None:
        return ScheduledOperationController(segment)

    def on_get(self, call: Call) -> Answer:
        """The project's scheduled operations, under the contract's key `operations`; newest first."""
        call.can(policies.LIST)
        filters = call.filters()
        if "enabled" in call.query.values:
            filters["enabled"] = call.query.flag("enabled")
        return listed(
            call,
            "operations",
            ["scheduled_operations"],
            lambda page: call.uow.scheduled_operations.page(page, call.scope, filters),
            views.detail,
            ScheduledOperationRepository.sort_keys,
        )

    def on_post(self, call: Call) -> Answer:
        """Let something be done whenever a trigger fires, with the rights of whoever asks: 201. An
        administrator who does it for another project needs rights there that last."""
        call.can(policies.CREATE)
        body = call.body()[schemas.KEY]
        wanted = scheduled_operations.type_of(body["operation_type"], join(schemas.KEY, "operation_type"))
        for rule in wanted.rules:
            call.can(rule)
        _check_stands(call, canonical_id(body["trigger_id"]))
        operation = scheduled_operations.create(
            call.uow,
            call.runtime.providers,
            call.context,
            call.scope,
            body,
            call.runtime.clock.now(),
            schemas.KEY,
        )
        return Answer(
            {schemas.KEY: views.detail(operation)},
            status=201,
            location=call.location("scheduled_operations", operation.id),
        )


class ScheduledOperationController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/scheduled_operations/{scheduled_operation_id}"
    terms = {
        "GET": Terms({200: schemas.ONE}, query=OF_ANYONE),
        "PUT": Terms({200: schemas.ONE}, body=schemas.UPDATE, narrowed=schemas.update_of, query=OF_ANYONE),
        "DELETE": Terms({204: None}, query=OF_ANYONE),
    }

    def __init__(self, operation_id: str) -> None:
        self.operation_id = operation_id

    def child(self, segment: str, call: Call) -> Controller | None:
        below = {"occurrences": OccurrencesController, "retention": RetentionController}.get(segment)
        return None if below is None else below(self.operation_id)

    def on_get(self, call: Call) -> Answer:
        """With what came of its last time, and when its next is."""
        operation = found(call, self.operation_id)
        call.can(policies.GET, operation)
        return Answer({schemas.KEY: shown(call, operation)})

    def on_put(self, call: Call) -> Answer:
        """Change what is given, from the next time on; `enabled` lets it rest and go on. With another
        definition it runs with the rights of whoever asks. For whatever lets it run, the policy has to allow
        what it does, too."""
        body = call.body()[schemas.KEY]
        operation = self._locked(call, *([body["trigger_id"]] if "trigger_id" in body else []))
        call.can(policies.UPDATE, operation)
        if scheduled_operations.needs_rights(body):
            for rule in TYPES[operation.operation_type].rules:
                call.can_in(rule, operation.project_id)
        scheduled_operations.update(
            call.uow,
            call.runtime.providers,
            call.context,
            operation,
            body,
            call.runtime.clock.now(),
            schemas.KEY,
        )
        call.uow.flush()
        return Answer({schemas.KEY: shown(call, operation)})

    def on_delete(self, call: Call) -> Answer:
        """It does not run any more: 204. What it has begun goes on to its end."""
        operation = self._locked(call)
        call.can(policies.DELETE, operation)
        scheduled_operations.delete(call.uow, operation, call.runtime.clock.now())
        return Answer(None, status=204)

    def _locked(self, call: Call, *trigger_ids: str) -> ScheduledOperation:
        """An engine that fires its trigger is waited for, and does not find it afterwards. Triggers are
        locked before what hangs on them, in the order of their ids.

        :param trigger_ids: others that are to be locked, too.
        """
        operation = found(call, self.operation_id)
        held = {operation.trigger_id, *map(canonical_id, trigger_ids)}
        for id in sorted(held):
            call.uow.triggers.find(id, operation.project_id, include_deleted=True, lock=True)
        locked = call.uow.scheduled_operations.get(operation.id, call.scope, lock=True)
        return locked if locked.trigger_id in held else self._locked(call, *trigger_ids)


class OccurrencesController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/scheduled_operations/{scheduled_operation_id}/occurrences"
    terms = {"GET": Terms({200: schemas.OCCURRENCES}, query=OCCURRENCES.query())}

    def __init__(self, operation_id: str) -> None:
        self.operation_id = operation_id

    def on_get(self, call: Call) -> Answer:
        """Every time it was to run, with its outcome; the newest first."""
        operation = found(call, self.operation_id)
        call.can(policies.GET, operation)
        filters = {"scheduled_operation_id": operation.id} | call.filters()
        return listed(
            call,
            "occurrences",
            ["scheduled_operations", operation.id, "occurrences"],
            lambda page: call.uow.occurrences.page(page, None, filters),
            views.occurrence,
            OccurrenceRepository.sort_keys,
        )


def _check_stands(call: Call, trigger_id: str) -> None:
    """Before the unit of work locks anything: another server may be asked.

    :raises NoRights: whoever asks for another project would not be let in there when it is to run.
    """
    if call.scope == call.project_id:
        return
    trigger = call.runtime.database.ask(lambda uow: uow.triggers.find(trigger_id, call.scope))
    if trigger is None or trigger.project_id == call.project_id:
        return
    user_id, project_id = call.context.user_id, trigger.project_id
    if call.runtime.auth.standing(Identity(user_id, project_id, tuple(call.context.roles))) is None:
        raise NoRights(user_id=user_id, project_id=project_id)


def found(call: Call, operation_id: str) -> ScheduledOperation:
    id = path_id(operation_id, "scheduled_operation_id")
    return call.uow.scheduled_operations.get(id, call.scope)


def shown(call: Call, operation: ScheduledOperation) -> dict[str, Any]:
    last = call.uow.occurrences.page(Page(limit=1), None, {"scheduled_operation_id": operation.id})
    trigger = call.uow.triggers.find(operation.trigger_id)
    return views.with_runs(operation, last[0] if last else None, trigger and trigger.expected_at)
