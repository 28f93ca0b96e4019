"""Containers: which names the secrets of each type have, and who needs one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from protectd.common.errors import BadRequest, Conflict, InvalidField, NotFound
from protectd.common.ids import new_id
from protectd.domain import quota
from protectd.domain.key_manager.secrets import ConsumerOfOthers, name_of
from protectd.domain.quota import Quotas
from protectd.model.models import Container, ContainerConsumer, ContainerSecret
from protectd.model.repositories.secrets import SecretNotFound
from protectd.model.unit_of_work import UnitOfWork

GENERIC, RSA, CERTIFICATE = "generic", "rsa", "certificate"
TYPES = (GENERIC, RSA, CERTIFICATE)
NEEDED: Mapping[str, frozenset[str]] = {
    RSA: frozenset({"public_key", "private_key"}),
    CERTIFICATE: frozenset({"certificate"}),
}
ALLOWED: Mapping[str, frozenset[str]] = {
    RSA: NEEDED[RSA] | {"private_key_passphrase"},
    CERTIFICATE: NEEDED[CERTIFICATE] | {"private_key", "private_key_passphrase", "intermediates"},
}

Ref = tuple[str, str]
"""Name (empty: none) and secret."""


class NotGeneric(BadRequest):
    code = "container.not_generic"
    message = "container {id} is {type}: its secrets do not change"


class SecretInContainer(Conflict):
    code = "container.secret_there"
    message = "container {id} has this secret under this name already"


class SecretNotInContainer(NotFound):
    code = "container.secret_not_found"
    message = "container {id} has no such secret"


class ConsumerNotFound(NotFound):
    code = "container.consumer_not_found"
    message = "container {id} has no such consumer"


def create(
    uow: UnitOfWork,
    quotas: Quotas,
    project_id: str,
    user_id: str,
    wanted: Mapping[str, Any],
    refs: Sequence[Ref],
    now: datetime,
) -> Container:
    """A new container.

    :param refs: what the body's `secret_refs` name, in order.
    :raises InvalidField: the secrets do not fit the type, or one stands twice.
    :raises SecretNotFound: the project has none such, or not any more.
    :raises QuotaReached: the project has as many as it may.
    """
    _check_refs(wanted["type"], refs)
    _check_secrets(uow, project_id, [secret_id for _, secret_id in refs], now)
    _refuse_twice([secret_id for _, secret_id in refs], "has secret")
    container = Container(
        id=new_id(),
        project_id=project_id,
        creator_id=user_id,
        name=name_of(wanted.get("name")),
        type=wanted["type"],
    )
    uow.containers.add(container)
    uow.containers.put_in(container.id, refs)
    quotas.take(project_id, containers=1)
    return container


def _check_refs(type: str, refs: Sequence[Ref]) -> None:
    """One without any secret is let be, whatever its type."""
    _refuse_twice([name for name, _ in refs if name], "names a secret")
    names = {name for name, _ in refs}
    if type not in ALLOWED or not refs:
        return
    if missing := sorted(NEEDED[type] - names):
        raise InvalidField(field="secret_refs", reason=f"of a container {type} must have {missing[0]}")
    if others := sorted(names - ALLOWED[type]):
        raise InvalidField(field="secret_refs", reason=f"of a container {type} cannot have {others[0]!r}")


def _refuse_twice(words: Sequence[str], what: str) -> None:
    for word, count in Counter(words).items():
        if count > 1:
            raise InvalidField(field="secret_refs", reason=f"{what} {word[:64]} twice")


def _check_secrets(uow: UnitOfWork, project_id: str, ids: Sequence[str], now: datetime) -> None:
    known = uow.containers.secrets_of(project_id, set(ids), now) if ids else set()
    for id in ids:
        if id not in known:
            raise SecretNotFound(id=id)


def add_secret(uow: UnitOfWork, container: Container, ref: Ref, now: datetime) -> None:
    """The container's row is locked by the caller.

    :raises NotGeneric: its type says what it holds.
    :raises SecretInContainer: it is there. :raises SecretNotFound: the container's project has none such.
    """
    name, secret_id = ref
    _check_secrets(uow, container.project_id, [secret_id], now)
    _check_generic(container)
    if _find(container, ref) is not None:
        raise SecretInContainer(id=container.id)
    container.secrets.append(ContainerSecret(name=name, secret_id=secret_id))
    uow.flush()


def remove_secret(uow: UnitOfWork, container: Container, ref: Ref) -> None:
    """:raises NotGeneric: see `add_secret`. :raises SecretNotInContainer: it is not there."""
    found = _find(container, ref)
    if found is None:
        raise SecretNotInContainer(id=container.id)
    _check_generic(container)
    container.secrets.remove(found)
    uow.flush()


def _check_generic(container: Container) -> None:
    if container.type != GENERIC:
        raise NotGeneric(id=container.id, type=container.type)


def _find(container: Container, ref: Ref) -> ContainerSecret | None:
    return next((each for each in container.secrets if (each.name, each.secret_id) == ref), None)


def add_consumer(
    uow: UnitOfWork, quotas: Quotas, container: Container, name: str, url: str, project_id: str
) -> None:
    """Safe to repeat; who was first has said it. The container's row is locked by the caller.

    :param project_id: who says so, be it the container's own project or that of a reader.
    :raises QuotaReached: the containers of the project have as many as they may.
    """
    if all((each.name, each.url) != (name, url) for each in container.consumers):
        container.consumers.append(ContainerConsumer.of(container.id, name, url, project_id))
        uow.flush()
        quotas.take(container.project_id, container_consumers=1)


def remove_consumer(uow: UnitOfWork, container: Container, name: str, url: str, project_id: str) -> None:
    """:raises ConsumerNotFound: it is not there.
    :raises ConsumerOfOthers: neither it nor the container is the project's."""
    found = next((each for each in container.consumers if (each.name, each.url) == (name, url)), None)
    if found is None:
        raise ConsumerNotFound(id=container.id)
    if project_id not in (found.project_id, container.project_id):
        raise ConsumerOfOthers
    container.consumers.remove(found)
    uow.flush()
    quota.give(uow, container.project_id, container_consumers=1)


def delete(uow: UnitOfWork, container: Container) -> None:
    """Its secrets stay; consumers do not keep it. The container's row is locked by the caller."""
    consumers = len(container.consumers)
    container.secrets = []
    container.consumers = []
    uow.acls.remove(container.id)
    uow.containers.delete(container)
    quota.give(uow, container.project_id, containers=1, container_consumers=consumers)
