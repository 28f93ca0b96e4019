"""How the controllers of a secret find and show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from protectd.api import microversions
from protectd.api.call import Call
from protectd.api.controllers.key_manager.base import base_of, checked_id, of_a_tenant
from protectd.api.views.key_manager import secrets as views
from protectd.model.models import Secret, SecretConsumer
from protectd.model.repositories.secrets import SecretNotFound


def described(call: Call, secret_id: str) -> Secret:
    """A secret without its sealed bytes, whosever it is. The service's own are nobody's.

    :raises SecretNotFound: there is none, or not any more.
    """
    found = call.uow.secrets.described(checked_id(secret_id), call.runtime.clock.now())
    return of_a_tenant(call, found, SecretNotFound)


def whole(call: Call, secret_id: str, *, lock: bool = False) -> Secret:
    """As `described`, with its sealed bytes. :param lock: it is to be changed."""
    now = call.runtime.clock.now()
    return of_a_tenant(call, call.uow.secrets.living(checked_id(secret_id), now, lock=lock), SecretNotFound)


def ref(call: Call, secret_id: str) -> str:
    return f"{base_of(call)}/secrets/{secret_id}"


def shown(call: Call, secret: Secret) -> dict[str, Any]:
    [one] = shown_all(call, [secret])
    return one


def shown_all(call: Call, found: Sequence[Secret]) -> list[dict[str, Any]]:
    """With their consumers, in one statement for all, where the version tells them."""
    consumers: dict[str, list[SecretConsumer]] | None = None
    if microversions.of(call.headers) >= microversions.CONSUMERS:
        consumers = {secret.id: [] for secret in found}
        for consumer in call.uow.secrets.consumers(consumers) if consumers else ():
            consumers[consumer.secret_id].append(consumer)
    return [
        views.detail(secret, ref(call, secret.id), None if consumers is None else consumers[secret.id])
        for secret in found
    ]
