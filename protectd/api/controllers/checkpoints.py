"""Checkpoints of a provider: make, list, show, set right, delete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.controllers.copies import CopiesController
from protectd.api.controllers.holds import HoldController
from protectd.api.controllers.lists import listed
from protectd.api.links import path_id
from protectd.api.policies import checkpoints as policies
from protectd.api.schemas import checkpoints as schemas
from protectd.api.schemas.common import OBJECT
from protectd.api.terms import MOMENT, OF_ANYONE, Listing, Parameter, Terms
from protectd.api.views import checkpoints as views
from protectd.common.fields import about
from protectd.common.ids import canonical_id
from protectd.domain import checkpoints
from protectd.domain.resources import Resolver
from protectd.model.models import Checkpoint
from protectd.model.repositories.base import Page
from protectd.model.repositories.checkpoints import CheckpointNotFound, CheckpointRepository
from protectd.model.states import CheckpointStatus
from protectd.model.unit_of_work import UnitOfWork

LISTING = Listing(
    CheckpointRepository.sort_keys,
    ("plan_id", "status", "source_id"),
    more=(
        Parameter("start_date", MOMENT, "made since; a date is its first moment"),
        Parameter("end_date", MOMENT, "made before; a date counts in"),
    ),
)


class CheckpointsController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/providers/{provider_id}/checkpoints"
    terms = {
        "GET": Terms({200: schemas.PAGE}, query=LISTING.query()),
        "POST": Terms({202: schemas.ONE}, body=schemas.CREATE, query=OF_ANYONE, refusals=(403, 409)),
    }

    def __init__(self, provider_id: str) -> None:
        self.provider_id = provider_id

    def child(self, segment: str, call: Call) -> Controller | None:
        if segment == "action":
            return CopiesController(self.provider_id)
        return CheckpointController(self.provider_id, segment)

    def on_get(self, call: Call) -> Answer:
        """All but the deleted ones, of one plan or of some days if asked."""
        call.can(policies.GET_ALL)
        provider = call.provider(self.provider_id)
        filters = {"provider_id": provider.id} | checkpoint_filters(call)
        proven: dict[str, views.Proven] = {}

        def load(page: Page) -> list[Checkpoint]:
            rows = call.uow.checkpoints.looks(page, call.scope, filters)
            proven.update(_proven(call.uow, rows))
            return rows

        return listed(
            call,
            "checkpoints",
            ["providers", provider.id, "checkpoints"],
            load,
            lambda row: views.brief(row, proven.get(row.id, views.NOTHING)),
            CheckpointRepository.sort_keys,
        )

    def on_post(self, call: Call) -> Answer:
        """Run a plan now: 202, and a Location to poll."""
        call.can(policies.CREATE)
        body = call.body()[schemas.KEY]
        provider = call.provider(self.provider_id)
        extra_info = body.get("extra-info") or body.get("extra_info")
        with about(f"{schemas.KEY}.plan_id"):
            plan = call.uow.plans.to_run(canonical_id(body["plan_id"]), call.scope)
            resolver = Resolver(call.registry(plan.project_id), provider, call.access(provider))
            checkpoint = checkpoints.create(resolver, plan, provider.id, extra_info)
        task = call.tasks.process_checkpoint(checkpoint)
        return Answer(
            {schemas.KEY: views.detail(checkpoint, task)},
            status=202,
            location=location(call, checkpoint),
            again=lambda uow: shown(uow, checkpoint.id),
        )


class CheckpointController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/providers/{provider_id}/checkpoints/{checkpoint_id}"
    terms = {
        "GET": Terms({200: schemas.ONE}, query=OF_ANYONE),
        "PUT": Terms({202: OBJECT}, body=schemas.RESET, query=OF_ANYONE, refusals=(409,)),
        "DELETE": Terms({202: OBJECT}, query=OF_ANYONE, refusals=(409,)),
    }

    def __init__(self, provider_id: str, checkpoint_id: str) -> None:
        self.provider_id = provider_id
        self.checkpoint_id = checkpoint_id

    def child(self, segment: str, call: Call) -> Controller | None:
        return HoldController(self.provider_id, self.checkpoint_id) if segment == "hold" else None

    def on_get(self, call: Call) -> Answer:
        """With its progress and what could not be read. A deleted one says so."""
        checkpoint = self._checkpoint(call)
        call.can(policies.GET, checkpoint)
        return Answer(shown(call.uow, checkpoint.id))

    def on_put(self, call: Call) -> Answer:
        """Set its state after something went wrong: 202. To error at once; to available by a task that looks
        whether all of it is there, and says in `error` what is not."""
        wanted = call.body()[schemas.RESET_KEY]["state"]
        checkpoint = self._checkpoint(call, lock=True)
        call.can(policies.UPDATE, checkpoint)
        checkpoints.check_reset(call.uow, checkpoint)
        if wanted == CheckpointStatus.ERROR:
            checkpoints.set_error(call.uow, checkpoint, call.runtime.clock.now())
        else:
            call.tasks.process_reset(checkpoint)
        return Answer({}, status=202, location=location(call, checkpoint))

    def on_delete(self, call: Call) -> Answer:
        """Forget it: 202, or 409 with the state that forbids it."""
        checkpoint = self._checkpoint(call, lock=True)
        call.can(policies.DELETE, checkpoint)
        checkpoints.start_delete(call.uow, checkpoint)
        call.tasks.process_delete(checkpoint)
        return Answer({}, status=202, location=location(call, checkpoint))

    def _checkpoint(self, call: Call, *, lock: bool = False) -> Checkpoint:
        provider_id = path_id(self.provider_id, "provider_id")
        checkpoint_id = path_id(self.checkpoint_id, "checkpoint_id")
        found = call.uow.checkpoints.get(checkpoint_id, call.scope, lock=lock)
        if found.provider_id != provider_id:
            raise CheckpointNotFound(id=checkpoint_id)
        return found


def checkpoint_filters(call: Call) -> dict[str, Any]:
    """What a list of checkpoints can be narrowed by."""
    filters = call.filters()
    start, end = call.query.moment("start_date"), call.query.moment("end_date", end=True)
    return filters | {name: value for name, value in (("start", start), ("end", end)) if value is not None}


def location(call: Call, checkpoint: Checkpoint) -> str:
    return call.location("providers", checkpoint.provider_id, "checkpoints", checkpoint.id)


def shown(uow: UnitOfWork, checkpoint_id: str) -> dict[str, Any]:
    checkpoint = uow.checkpoints.get(checkpoint_id)
    task = uow.tasks.of_entities("checkpoint", [checkpoint_id]).get(checkpoint_id)
    proven = _proven(uow, [checkpoint]).get(checkpoint_id, views.NOTHING)
    return {schemas.KEY: views.detail(checkpoint, task, proven)}


def _proven(uow: UnitOfWork, rows: Iterable[Checkpoint]) -> Mapping[str, views.Proven]:
    """By id; nobody asks for those that were never verified."""
    return uow.verifications.proofs([row.id for row in rows if row.verified_at is not None])
