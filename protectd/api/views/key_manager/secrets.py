"""A secret as the key manager's contract shows it: no field more, for clients make objects of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from protectd.api.views.key_manager.common import moment
from protectd.model.models import Secret, SecretConsumer

ACTIVE = "ACTIVE"


def detail(secret: Secret, ref: str, consumers: Iterable[SecretConsumer] | None) -> dict[str, Any]:
    """:param consumers: None where the version of the contract does not tell them."""
    shown: dict[str, Any] = {
        "created": moment(secret.created_at),
        "updated": moment(secret.updated_at),
        "status": ACTIVE,
        "name": secret.name,
        "secret_type": secret.secret_type,
        "expiration": moment(secret.expiration),
        "algorithm": secret.algorithm,
        "bit_length": secret.bit_length,
        "mode": secret.mode,
        "creator_id": secret.creator_id,
        "secret_ref": ref,
    }
    if secret.content_type is not None:
        shown["content_types"] = {"default": secret.content_type}
    if consumers is not None:
        shown["consumers"] = [_named(consumer) for consumer in consumers]
    return shown


def consumer(consumer: SecretConsumer) -> dict[str, Any]:
    """One entry of a list. A consumer never changes."""
    created = moment(consumer.created_at)
    return {"created": created, "updated": created, "status": ACTIVE, **_named(consumer)}


def _named(consumer: SecretConsumer) -> dict[str, str]:
    return {
        "service": consumer.service,
        "resource_type": consumer.resource_type,
        "resource_id": consumer.resource_id,
    }
