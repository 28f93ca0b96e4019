"""Restores: start, list, show, cancel."""

from __future__ import annotations

from typing import Any, ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.controllers.lists import listed
from protectd.api.controllers.operation_logs import cancelled
from protectd.api.links import path_id
from protectd.api.policies import restores as policies
from protectd.api.schemas import restores as schemas
from protectd.api.schemas.common import either
from protectd.api.schemas.operation_logs import ONE as CANCELLED
from protectd.api.terms import OF_ANYONE, Listing, Parameter, Terms
from protectd.api.views import restores as views
from protectd.common.ids import canonical_id
from protectd.domain import checkpoints, operations, restores
from protectd.model.models import Restore
from protectd.model.repositories.restores import RestoreRepository
from protectd.model.unit_of_work import UnitOfWork

DRY_RUN = Parameter("dry_run", {"type": "boolean"}, "dry runs only, or none")
LISTING = Listing(RestoreRepository.sort_keys, ("status", "checkpoint_id", "provider_id"), more=(DRY_RUN,))


class RestoresController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/restores"
    terms = {
        "GET": Terms({200: schemas.PAGE}, query=LISTING.query()),
        "POST": Terms(
            {202: schemas.ONE},
            body=schemas.CREATE,
            narrowed=schemas.create_of,
            query=OF_ANYONE,
            refusals=(403, 409),
        ),
    }

    def child(self, segment: str, call: Call) -> Controller | None:
        return RestoreController(segment)

    def on_get(self, call: Call) -> Answer:
        """The project's restores; newest first if nothing else is asked."""
        call.can(policies.GET_ALL)
        filters = call.filters() | call.query.flags("dry_run")
        return listed(
            call,
            "restores",
            ["restores"],
            lambda page: call.uow.restores.page(page, call.scope, filters),
            views.brief,
            RestoreRepository.sort_keys,
        )

    def on_post(self, call: Call) -> Answer:
        """Write a checkpoint's data back, or say what that would do: 202, and a Location to poll."""
        call.can(policies.CREATE)
        body = call.body()[schemas.KEY]
        provider = call.provider_in(body, schemas.KEY)
        target = restores.check_target(body.get("restore_target"), f"{schemas.KEY}.restore_target")
        checkpoint = checkpoints.usable(
            call.uow, canonical_id(body["checkpoint_id"]), provider.id, call.scope, schemas.KEY
        )
        chosen = restores.chosen(provider, checkpoint, body, schemas.KEY)
        resources = [each for each in checkpoint.resources if chosen is None or each.key in chosen]
        destination = restores.Destination(provider, call.runtime.protectables, call.access(provider))
        destination.check(resources, body["parameters"], f"{schemas.KEY}.parameters")
        restore = restores.new_restore(checkpoint, body, target, chosen, trusted=call.context.is_admin)
        call.uow.restores.add(restore)
        task = call.tasks.process_restore(restore)
        return Answer(
            {schemas.KEY: views.detail(restore, task)},
            status=202,
            location=location(call, restore),
            again=lambda uow: shown(uow, restore.id),
        )


class RestoreController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/restores/{restore_id}"
    terms = {
        "GET": Terms({200: schemas.ONE}, query=OF_ANYONE),
        "DELETE": Terms({202: either(CANCELLED, schemas.ONE)}, query=OF_ANYONE, refusals=(409,)),
    }

    def __init__(self, restore_id: str) -> None:
        self.restore_id = restore_id

    def on_get(self, call: Call) -> Answer:
        """With its progress and what went wrong."""
        restore = self._restore(call)
        call.can(policies.GET, restore)
        return Answer(shown(call.uow, restore.id))

    def on_delete(self, call: Call) -> Answer:
        """Ask it to end: 202 and where to see that it has, or 409 when it is too late. It stays listed."""
        restore = self._restore(call)
        call.can(policies.CANCEL, restore)
        task = operations.cancel_run(call.uow, restore, call.runtime.clock.now())
        if restore.dry_run:  # no log tells of it
            return Answer(shown(call.uow, restore.id), status=202, location=location(call, restore))
        return cancelled(call, task)

    def _restore(self, call: Call) -> Restore:
        return call.uow.restores.get(path_id(self.restore_id, "restore_id"), call.scope)


def location(call: Call, restore: Restore) -> str:
    return call.location("restores", restore.id)


def shown(uow: UnitOfWork, restore_id: str) -> dict[str, Any]:
    restore = uow.restores.get(restore_id)
    task = uow.tasks.of_entities("restore", [restore_id]).get(restore_id)
    return {schemas.KEY: views.detail(restore, task)}
