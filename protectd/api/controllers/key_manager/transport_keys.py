"""Transport keys: a store may have one, with which clients seal what they send. None here has."""

from __future__ import annotations

from typing import ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.controllers.key_manager.base import WINDOW, KeyManagerController, base_of, may, window
from protectd.api.policies.key_manager import transport_keys as policies
from protectd.api.schemas.key_manager import transport_keys as schemas
from protectd.api.terms import Terms
from protectd.api.views.key_manager.common import page
from protectd.common.errors import NotFound


class TransportKeyNotFound(NotFound):
    code = "transport_key.not_found"
    message = "no secret store has transport keys"


class TransportKeysController(KeyManagerController):
    path: ClassVar[str | None] = "/v1/transport_keys"
    terms = {"GET": Terms({200: schemas.PAGE}, query=WINDOW)}

    def child(self, segment: str, call: Call) -> Controller | None:
        return TransportKeyController()

    def on_get(self, call: Call) -> Answer:
        """None."""
        may(call, policies.GET_ALL)
        return Answer(page("transport_keys", [], 0, window(call), f"{base_of(call)}/transport_keys"))


class TransportKeyController(KeyManagerController):
    path: ClassVar[str | None] = "/v1/transport_keys/{transport_key_id}"
    terms = {"GET": Terms({}), "DELETE": Terms({})}

    def on_get(self, call: Call) -> Answer:
        """Always 404."""
        may(call, policies.GET)
        raise TransportKeyNotFound

    def on_delete(self, call: Call) -> Answer:
        """Always 404."""
        may(call, policies.DELETE)
        raise TransportKeyNotFound
