"""A project's secrets: made in one step or two, read, deleted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from protectd.common.errors import BadRequest, Conflict, Forbidden, NotFound
from protectd.common.ids import new_id
from protectd.domain import quota
from protectd.domain.key_manager import times
from protectd.domain.key_manager.payloads import Payload, of_body
from protectd.domain.quota import Quotas
from protectd.domain.secrets import Secrets
from protectd.model.models import Secret
from protectd.model.unit_of_work import UnitOfWork

ConsumerName = tuple[str, str, str]
"""Service, type of the resource, and its id."""

OPAQUE = "opaque"
TYPES = ("symmetric", "passphrase", "private", "public", "certificate", OPAQUE)


class NoPayload(NotFound):
    code = "secret.no_payload"
    message = "secret {id} has no payload yet"


class PayloadThere(Conflict):
    code = "secret.payload_there"
    message = "secret {id} has a payload already; it cannot be changed"


class ConsumerNotFound(NotFound):
    code = "secret.consumer_not_found"
    message = "secret {id} has no such consumer"


class ConsumerOfOthers(Forbidden):
    """A reader does not say for others what they need."""

    code = "secret.consumer_of_others"
    message = "another project said that it is needed"


class SecretHasConsumers(BadRequest):
    """A client looks for this very sentence."""

    code = "secret.has_consumers"
    message = "Secret cannot be deleted as it has consumers."


def create(
    uow: UnitOfWork,
    quotas: Quotas,
    secrets: Secrets,
    project_id: str,
    user_id: str,
    wanted: Mapping[str, Any],
    now: datetime,
) -> Secret:
    """A new secret, with its payload if that is among `wanted`, which fits the schema. It is only shown from
    here on.

    :raises InvalidField: the payload and what is said of it do not go together, or it would expire at once.
    :raises QuotaReached: the project has as many as it may.
    """
    payload = of_body(
        wanted.get("payload"), wanted.get("payload_content_type"), wanted.get("payload_content_encoding")
    )
    secret = Secret(
        id=new_id(),
        project_id=project_id,
        creator_id=user_id,
        name=name_of(wanted.get("name")),
        secret_type=wanted.get("secret_type") or OPAQUE,
        algorithm=wanted.get("algorithm"),
        bit_length=wanted.get("bit_length"),
        mode=wanted.get("mode"),
        expiration=times.expiration(wanted.get("expiration"), now),
    )
    secret.content_type = payload.content_type if payload else None
    secrets.insert(uow, secret, payload.plain if payload else None)
    quotas.take(project_id, now=now, secrets=1)
    return secret


def name_of(text: str | None) -> str | None:
    """Without white space at its ends; None where nothing is left."""
    return (text or "").strip() or None


def put_payload(uow: UnitOfWork, secrets: Secrets, secret: Secret, payload: Payload) -> None:
    """The second step. The secret's row is locked by the caller.

    :raises PayloadThere: it came before.
    """
    if secret.content_type is not None:
        raise PayloadThere(id=secret.id)
    secrets.seal(uow, secret, payload.plain)
    secret.content_type = payload.content_type
    uow.flush()


def read_payload(uow: UnitOfWork, secrets: Secrets, secret: Secret) -> Payload:
    """:raises NoPayload: there is none yet. :raises SecretDamaged: it is not what was sealed."""
    if secret.content_type is None:
        raise NoPayload(id=secret.id)
    return Payload(secrets.unseal(uow, secret), secret.content_type)


def delete(uow: UnitOfWork, secret: Secret, *, refuse_consumers: bool) -> None:
    """For good: the sealed bytes are gone with the commit. The secret's row is locked by the caller.

    :raises SecretHasConsumers: it has, and that is to count.
    """
    consumers = uow.secrets.count_consumers(secret.id)
    if refuse_consumers and consumers:
        raise SecretHasConsumers
    uow.secrets.forget_all_of(secret.id)
    uow.secrets.delete(secret)
    quota.give(uow, secret.project_id, secrets=1, secret_consumers=consumers)


def add_consumer(
    uow: UnitOfWork,
    quotas: Quotas,
    secrets: Secrets,
    secret: Secret,
    named: ConsumerName,
    project_id: str,
    now: datetime,
) -> None:
    """Say that something needs a secret. Safe to repeat.

    :param project_id: who says so, be it the secret's own project or that of a reader.
    :raises QuotaReached: the secrets of the project have as many as they may.
    """
    if secrets.add_consumer(uow, secret.id, *named, project_id):
        quotas.take(secret.project_id, now=now, secret_consumers=1)


def remove_consumer(uow: UnitOfWork, secret: Secret, named: ConsumerName, project_id: str) -> None:
    """The secret's row is locked by the caller.

    :raises ConsumerNotFound: it is not there.
    :raises ConsumerOfOthers: neither it nor the secret is the project's.
    """
    found = uow.secrets.consumer(secret.id, *named)
    if found is None:
        raise ConsumerNotFound(id=secret.id)
    if project_id not in (found.project_id, secret.project_id):
        raise ConsumerOfOthers
    uow.session.delete(found)
    uow.flush()
    quota.give(uow, secret.project_id, secret_consumers=1)
