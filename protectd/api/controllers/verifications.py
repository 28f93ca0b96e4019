"""Verifications: start, list, show, cancel."""

from __future__ import annotations

from typing import Any, ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.controllers.lists import listed
from protectd.api.controllers.operation_logs import cancelled
from protectd.api.links import path_id
from protectd.api.policies import verifications as policies
from protectd.api.schemas import verifications as schemas
from protectd.api.schemas.operation_logs import ONE as CANCELLED
from protectd.api.terms import OF_ANYONE, Listing, Terms
from protectd.api.views import verifications as views
from protectd.common.ids import canonical_id
from protectd.domain import checkpoints, operations, parameters, verifications
from protectd.model.models import Verification
from protectd.model.repositories.verifications import VerificationRepository
from protectd.model.unit_of_work import UnitOfWork

LISTING = Listing(VerificationRepository.sort_keys, ("status", "checkpoint_id", "provider_id", "depth"))


class VerificationsController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/verifications"
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
        return VerificationController(segment)

    def on_get(self, call: Call) -> Answer:
        """The project's verifications; newest first if nothing else is asked."""
        call.can(policies.GET_ALL)
        filters = call.filters()
        return listed(
            call,
            "verifications",
            ["verifications"],
            lambda page: call.uow.verifications.page(page, call.scope, filters),
            views.brief,
            VerificationRepository.sort_keys,
        )

    def on_post(self, call: Call) -> Answer:
        """Check a checkpoint's data: 202, and a Location to poll."""
        call.can(policies.CREATE)
        body = call.body()[schemas.KEY]
        provider = call.provider_in(body, schemas.KEY)
        checkpoint = checkpoints.usable(
            call.uow, canonical_id(body["checkpoint_id"]), provider.id, call.scope, schemas.KEY
        )
        keys = {resource.key for resource in checkpoint.resources}
        wanted = body.get("parameters") or {}
        parameters.check_held(wanted, provider.verify_schemas, f"{schemas.KEY}.parameters", keys)
        verification = verifications.new_verification(checkpoint, body)
        call.uow.verifications.add(verification)
        task = call.tasks.process_verify(verification)
        return Answer(
            {schemas.KEY: views.detail(verification, task)},
            status=202,
            location=call.location("verifications", verification.id),
            again=lambda uow: shown(uow, verification.id),
        )


class VerificationController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/verifications/{verification_id}"
    terms = {
        "GET": Terms({200: schemas.ONE}, query=OF_ANYONE),
        "DELETE": Terms({202: CANCELLED}, query=OF_ANYONE, refusals=(409,)),
    }

    def __init__(self, verification_id: str) -> None:
        self.verification_id = verification_id

    def on_get(self, call: Call) -> Answer:
        """With its progress and what went wrong."""
        verification = self._verification(call)
        call.can(policies.GET, verification)
        return Answer(shown(call.uow, verification.id))

    def on_delete(self, call: Call) -> Answer:
        """Ask it to end: 202 and where to see that it has, or 409 when it is too late. It stays listed."""
        verification = self._verification(call)
        call.can(policies.CANCEL, verification)
        return cancelled(call, operations.cancel_run(call.uow, verification, call.runtime.clock.now()))

    def _verification(self, call: Call) -> Verification:
        return call.uow.verifications.get(path_id(self.verification_id, "verification_id"), call.scope)


def shown(uow: UnitOfWork, verification_id: str) -> dict[str, Any]:
    verification = uow.verifications.get(verification_id)
    task = uow.tasks.of_entities("verification", [verification_id]).get(verification_id)
    return {schemas.KEY: views.detail(verification, task)}
