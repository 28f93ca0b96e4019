"""How the controllers of a secret find and show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from protectd.api import microversions
from protectd.api.call import Call
from protectd.api.controllers.key_manager.base import base_of, checked_id, may, of_a_tenant
from protectd.api.views.key_manager import secrets as views
from protectd.domain.key_manager import access
from protectd.model.models import Secret, SecretConsumer
from protectd.model.repositories.secrets import SecretNotFound


def described(call: Call, secret_id: str) -> Secret:
    """A secret without its sealed bytes, whosever it is. The service's own are nobody's.

    :raises SecretNotFound: there is none, or not any more.
    """
    found = call.uow.secrets.described(checked_id(secret_id), call.runtime.clock.now())
    return of_a_tenant(call, found, SecretNotFound)


def seen(call: Call, secret_id: str, rule: str, *, sealed: bool = False) -> Secret:
    """A picture of a secret, if the caller may see it, whosever it is. The service's own are nobody's.

    :param sealed: it is to be opened, and not to be described.
    :raises SecretNotFound: there is none, or not any more. :raises Forbidden: the policy says no.
    """
    now, user_id = call.runtime.clock.now(), call.context.user_id
    found = call.uow.secrets.see(checked_id(secret_id), user_id, now, sealed=sealed)
    secret = of_a_tenant(call, found.secret, SecretNotFound)
    may(call, rule, access.told(secret, found.open, found.listed))
    return secret


def locked(call: Call, secret_id: str) -> Secret:
    """As `described`, with its sealed bytes, to be changed."""
    now = call.runtime.clock.now()
    return of_a_tenant(call, call.uow.secrets.locked(checked_id(secret_id), now), SecretNotFound)


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
