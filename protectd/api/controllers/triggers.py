"""Triggers: create, list, show, change, delete, and fire by an event."""

from __future__ import annotations

from typing import ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.controllers.lists import listed
from protectd.api.links import path_id
from protectd.api.policies import triggers as policies
from protectd.api.schemas import triggers as schemas
from protectd.api.terms import OF_ANYONE, Listing, Terms
from protectd.api.views import triggers as views
from protectd.common.errors import Unauthorized
from protectd.common.fields import join
from protectd.common.ids import canonical_id, is_uuid_like
from protectd.domain import events, triggers
from protectd.model.models import Trigger
from protectd.model.repositories.triggers import TriggerRepository
from protectd.model.unit_of_work import UnitOfWork

TIMESTAMP = "x-protectd-timestamp"
SIGNATURE = "x-protectd-signature"

LISTING = Listing(TriggerRepository.sort_keys, ("name", "type", "properties"))


class TriggersController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/triggers"
    terms = {
        "GET": Terms({200: schemas.PAGE}, query=LISTING.query()),
        "POST": Terms({201: schemas.ONE}, body=schemas.CREATE, narrowed=schemas.create_of),
    }

    def child(self, segment: str, call: Call) -> Controller | None:
        return TriggerController(segment)

    def on_get(self, call: Call) -> Answer:
        """The project's triggers; newest first if nothing else is asked."""
        call.can(policies.LIST)
        filters = call.filters()
        return listed(
            call,
            "triggers",
            ["triggers"],
            lambda page: call.uow.triggers.page(page, call.scope, filters),
            views.brief,
            TriggerRepository.sort_keys,
        )

    def on_post(self, call: Call) -> Answer:
        """Keep a trigger: 201. The secret of one of events is told here, and never again."""
        call.can(policies.CREATE)
        body = call.body()[schemas.KEY]
        now, limits = call.runtime.clock.now(), call.runtime.options.schedules
        trigger = triggers.create(call.uow, call.project_id, body, now, limits, schemas.KEY)
        secret = None
        if trigger.type == triggers.EVENT:
            secret = call.runtime.event_secrets().give(call.uow, trigger)
        return Answer(
            {schemas.KEY: views.detail(trigger, now, limits, secret)},
            status=201,
            location=call.url("triggers", trigger.id),
            secret=secret is not None,
        )


class TriggerController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/triggers/{trigger_id}"
    terms = {
        "GET": Terms({200: schemas.ONE}, query=OF_ANYONE),
        "PUT": Terms(
            {200: schemas.ONE},
            body=schemas.UPDATE,
            narrowed=schemas.update_of,
            query=OF_ANYONE,
            refusals=(409,),
        ),
        "DELETE": Terms({204: None}, query=OF_ANYONE, refusals=(409,)),
    }

    def __init__(self, trigger_id: str) -> None:
        self.trigger_id = trigger_id

    def on_get(self, call: Call) -> Answer:
        """With its next ten times."""
        trigger = self._trigger(call)
        call.can(policies.GET, trigger)
        return Answer({schemas.KEY: self._shown(call, trigger)})

    def on_put(self, call: Call) -> Answer:
        """Change what is given; a property that is null is taken away. Operations follow the new pattern."""
        body = call.body()[schemas.KEY]
        trigger = self._trigger(call, lock=True)
        call.can(policies.UPDATE, trigger)
        runtime = call.runtime
        triggers.update(trigger, body, runtime.clock.now(), runtime.options.schedules, schemas.KEY)
        secret = None
        if body.get("rotate_secret"):
            field = join(schemas.KEY, "rotate_secret")
            secret = runtime.event_secrets().rotate(call.uow, trigger, field)
        call.uow.flush()
        return Answer({schemas.KEY: self._shown(call, trigger, secret)})

    def on_delete(self, call: Call) -> Answer:
        """204, or 409 while a scheduled operation uses it."""
        trigger = self._trigger(call, lock=True)
        call.can(policies.DELETE, trigger)
        triggers.delete(call.uow, trigger)
        if trigger.secret_id is not None:
            call.runtime.event_secrets().take(call.uow, trigger)
        return Answer(None, status=204)

    def _trigger(self, call: Call, *, lock: bool = False) -> Trigger:
        return call.uow.triggers.get(path_id(self.trigger_id, "trigger_id"), call.scope, lock=lock)

    def _shown(self, call: Call, trigger: Trigger, secret: str | None = None) -> dict[str, object]:
        return views.detail(trigger, call.runtime.clock.now(), call.runtime.options.schedules, secret)


class FireDoor(Controller):
    """/v1/triggers: leads to the doors of single triggers, which are asked without a token."""

    def child(self, segment: str, call: Call) -> Controller | None:
        return TriggerDoor(segment)


class TriggerDoor(Controller):
    def __init__(self, trigger_id: str) -> None:
        self.trigger_id = trigger_id

    def child(self, segment: str, call: Call) -> Controller | None:
        return FireController(self.trigger_id) if segment == "fire" else None


class FireController(Controller):
    path: ClassVar[str | None] = "/v1/triggers/{trigger_id}/fire"
    public = True
    terms = {"POST": Terms({202: schemas.EVENT}, refusals=(401, 413))}

    def __init__(self, trigger_id: str) -> None:
        self.trigger_id = trigger_id

    def on_post(self, call: Call) -> Answer:
        """Take an event: 202. One that comes again is answered as the first and fires nothing. A trigger that
        is not there and a signature that is not good look alike: 401."""
        trigger_id = canonical_id(self.trigger_id) if is_uuid_like(self.trigger_id) else ""
        signature = call.headers.get(SIGNATURE, "")
        secret_id = call.runtime.database.ask(lambda uow: self._check(uow, call, trigger_id, signature))
        trigger = call.uow.triggers.find(trigger_id, lock=True)
        if trigger is None or trigger.secret_id != secret_id:
            raise Unauthorized
        triggers.receive(call.uow, trigger, signature, call.runtime.clock.now())
        return Answer({"event": views.event(trigger, events.key_of(signature))}, status=202)

    def _check(self, uow: UnitOfWork, call: Call, trigger_id: str, signature: str) -> str | None:
        """Nothing is locked or written for whoever does not know the secret.

        :returns: the id of the secret that it was signed with.
        :raises Unauthorized: it was not.
        """
        trigger = uow.triggers.find(trigger_id)
        secret = call.runtime.event_secrets().read(uow, trigger)
        timestamp, now = call.headers.get(TIMESTAMP, ""), call.runtime.clock.now()
        if not events.is_signed(secret, timestamp, signature, call.plain_body, now) or trigger is None:
            raise Unauthorized
        return trigger.secret_id
