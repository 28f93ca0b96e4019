"""The hold of a checkpoint: place it, and (for administrators) lift it."""

from __future__ import annotations

from typing import ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.links import path_id
from protectd.api.policies import holds as policies
from protectd.api.schemas import holds as schemas
from protectd.api.terms import OF_ANYONE, Terms
from protectd.api.views import holds as views
from protectd.domain import holds
from protectd.model.models import Checkpoint
from protectd.model.repositories.checkpoints import CheckpointNotFound


class HoldController(Controller):
    path: ClassVar[str | None] = "/v1/{project_id}/providers/{provider_id}/checkpoints/{checkpoint_id}/hold"
    terms = {
        "GET": Terms({200: schemas.ONE}, query=OF_ANYONE),
        "PUT": Terms({200: schemas.ONE}, body=schemas.UPDATE, query=OF_ANYONE, refusals=(409,)),
        "DELETE": Terms({204: None}, query=OF_ANYONE, refusals=(403, 409)),
    }

    def __init__(self, provider_id: str, checkpoint_id: str) -> None:
        self.provider_id = provider_id
        self.checkpoint_id = checkpoint_id

    def on_get(self, call: Call) -> Answer:
        """Null: it is not held."""
        checkpoint = self._checkpoint(call)
        call.can(policies.GET, checkpoint)
        return Answer({schemas.KEY: views.detail(checkpoint)})

    def on_put(self, call: Call) -> Answer:
        """From now on nobody deletes it: neither its owner, nor retention, nor force."""
        body = call.body()[schemas.KEY]
        checkpoint = self._checkpoint(call, lock=True)
        call.can(policies.PLACE, checkpoint)
        holds.place(checkpoint, body["reason"], call.context, call.runtime.clock.now())
        call.uow.flush()
        call.tasks.process_note(checkpoint)
        return Answer({schemas.KEY: views.detail(checkpoint)})

    def on_delete(self, call: Call) -> Answer:
        """Let it be deleted again: 204. For administrators."""
        checkpoint = self._checkpoint(call, lock=True)
        call.can(policies.LIFT)
        if checkpoint.held_at is not None:
            holds.lift(checkpoint)
            call.tasks.process_note(checkpoint)
        return Answer(None, status=204)

    def _checkpoint(self, call: Call, *, lock: bool = False) -> Checkpoint:
        provider_id = path_id(self.provider_id, "provider_id")
        checkpoint_id = path_id(self.checkpoint_id, "checkpoint_id")
        found = call.uow.checkpoints.get(checkpoint_id, call.scope, lock=lock)
        if found.provider_id != provider_id:
            raise CheckpointNotFound(id=checkpoint_id)
        return found
