"""Consumers of a secret: who needs it."""

from __future__ import annotations

from typing import Any, ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.key_manager.base import (
    WINDOW,
    KeyManagerController,
    json_body,
    may_with,
    window,
)
from protectd.api.controllers.key_manager.secret_parts import locked, ref, seen, shown
from protectd.api.policies.key_manager import secrets as policies
from protectd.api.schemas.key_manager import secrets as schemas
from protectd.api.terms import Terms
from protectd.api.views.key_manager import secrets as views
from protectd.api.views.key_manager.common import page
from protectd.domain.key_manager import secrets


class SecretConsumersController(KeyManagerController):
    path: ClassVar[str | None] = "/v1/secrets/{secret_id}/consumers"
    terms = {
        "GET": Terms({200: schemas.CONSUMERS}, query=WINDOW),
        "POST": Terms({200: schemas.ONE}, body=schemas.CONSUMER, narrowed=schemas.consumer_of),
        "DELETE": Terms({200: schemas.ONE}, body=schemas.CONSUMER, narrowed=schemas.consumer_of),
    }

    def __init__(self, secret_id: str) -> None:
        self.secret_id = secret_id

    def on_get(self, call: Call) -> Answer:
        """In the order in which they came."""
        secret = seen(call, self.secret_id, policies.CONSUMERS_GET)
        limit, offset = window(call)
        found = call.uow.secrets.consumers([secret.id], limit, offset)
        total = call.uow.secrets.count_consumers(secret.id)
        listed = [views.consumer(consumer) for consumer in found]
        return Answer(page("consumers", listed, total, (limit, offset), f"{ref(call, secret.id)}/consumers"))

    def on_post(self, call: Call) -> Answer:
        """Say that something needs it. Safe to repeat. The secret is shown."""
        secret = locked(call, self.secret_id)
        may_with(call, policies.CONSUMERS_POST, secret, secret.id)
        runtime, named = call.runtime, self._named(call)
        now = runtime.clock.now()
        secrets.add_consumer(call.uow, call.quotas, runtime.secrets(), secret, named, call.project_id, now)
        return Answer(shown(call, secret))

    def on_delete(self, call: Call) -> Answer:
        """Say that it does not any more. The secret is shown."""
        secret = locked(call, self.secret_id)
        may_with(call, policies.CONSUMERS_DELETE, secret, secret.id)
        secrets.remove_consumer(call.uow, secret, self._named(call), call.project_id)
        return Answer(shown(call, secret))

    def _named(self, call: Call) -> secrets.ConsumerName:
        body: dict[str, Any] = json_body(call)
        return body["service"], body["resource_type"], body["resource_id"]
