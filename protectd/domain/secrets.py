"""Secrets in rows: sealed by a store, opened for whoever may, kept as long as someone depends on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from protectd.common.clock import Clock
from protectd.common.errors import ConfigurationError, Conflict
from protectd.common.ids import new_id
from protectd.domain.project_keys import ProjectKeys
from protectd.model.models import Secret, SecretConsumer
from protectd.model.unit_of_work import UnitOfWork
from protectd.plugin.base import ProjectKey, SecretStorePlugin

OCTETS = "application/octet-stream"


class SecretInUse(Conflict):
    code = "secret.in_use"
    message = "secret {secret_id} has consumers"


class Secrets:
    """Seals with the store that a project prefers, opens with whichever sealed.

    :param stores: by the name that stands in the rows.
    :param default: the one that seals for projects that prefer none.
    :raises ConfigurationError: `default` is not one of them.
    """

    def __init__(
        self, stores: Mapping[str, SecretStorePlugin], default: str, clock: Clock | None = None
    ) -> None:
        self.keys = ProjectKeys(stores, clock)
        self._default = default
        self._may_choose = len(stores) > 1
        if default not in stores:
            raise ConfigurationError(where="secrets", reason=f"there is no store {default}")

    def add(
        self, uow: UnitOfWork, project_id: str, plain: bytes, *, name: str = "", secret_type: str = "opaque"
    ) -> Secret:
        """Seal a new secret into a row of `project_id`."""
        secret = Secret(id=new_id(), project_id=project_id, name=name, secret_type=secret_type)
        secret.content_type = OCTETS
        self.seal(uow, secret, plain)
        return uow.secrets.add(secret)

    def seal(self, uow: UnitOfWork, secret: Secret, plain: bytes | None) -> None:
        """Put sealed bytes into a row that has its id and its project. None: there are none yet.

        :raises StoreNotConfigured: the project prefers a store that is not there any more.
        """
        secret.store, secret.key_id, secret.cipher_text = self._store_of(uow, secret.project_id), "", b""
        if plain is not None:
            secret.key_id, key = self.keys.current(uow, secret.project_id, secret.store)
            secret.cipher_text = key.seal(plain, secret.id)

    def seal_all(self, uow: UnitOfWork, sealed: Iterable[tuple[Secret, bytes]]) -> None:
        """As `seal`, of the payloads of several, for which a project is looked for once."""
        known: dict[str, tuple[str, str, ProjectKey]] = {}
        for secret, plain in sealed:
            project_id = secret.project_id
            if project_id not in known:
                store = self._store_of(uow, project_id)
                known[project_id] = (store, *self.keys.current(uow, project_id, store))
            secret.store, secret.key_id, key = known[project_id]
            secret.cipher_text = key.seal(plain, secret.id)

    def insert(self, uow: UnitOfWork, secret: Secret, plain: bytes | None) -> Secret:
        """Seal a new secret and write it; it is only shown from here on. As a rule the key that sealed last
        still does, which the statement that writes makes sure of.

        :param plain: as `seal`. :raises StoreNotConfigured: as `seal`.
        """
        store = self._store_of(uow, secret.project_id)
        last = None if plain is None else self.keys.last(secret.project_id, store)
        if plain is not None and last is not None:
            key_id, key = last
            secret.store, secret.key_id, secret.cipher_text = store, key_id, key.seal(plain, secret.id)
            if uow.secrets.insert_sealed(secret):
                return secret
        self.seal(uow, secret, plain)
        return uow.secrets.insert(secret)

    def _store_of(self, uow: UnitOfWork, project_id: str) -> str:
        """Nothing is asked where there is one store only."""
        preferred = uow.secret_stores.preferred(project_id) if self._may_choose else None
        return preferred or self._default

    def open(self, uow: UnitOfWork, secret_id: str, project_id: str | None) -> bytes:
        """The plain bytes. They are for use, not for keeping.

        :raises SecretNotFound: the project has none such.
        :raises SecretDamaged: the row is not what was sealed, or a key is another.
        """
        return self.unseal(uow, uow.secrets.get(secret_id, project_id))

    def unseal(self, uow: UnitOfWork, secret: Secret) -> bytes:
        """As `open`, of a row that was read."""
        key = self.keys.of(uow, secret.key_id, secret.project_id, secret.store)
        return key.open(secret.cipher_text, secret.id)

    def add_consumer(
        self,
        uow: UnitOfWork,
        secret_id: str,
        service: str,
        resource_type: str,
        resource_id: str,
        project_id: str | None = None,
    ) -> bool:
        """Say that something depends on a secret. Safe to repeat; who was first has said it.

        :param project_id: who says so; None: the service itself.
        :returns: whether that is new.
        :raises SecretNotFound: it is not there, or not any more.
        """
        uow.secrets.get(secret_id, lock=True)
        if uow.secrets.consumer(secret_id, service, resource_type, resource_id) is not None:
            return False
        uow.session.add(SecretConsumer.of(secret_id, service, resource_type, resource_id, project_id))
        uow.flush()
        return True

    def remove_consumer(
        self, uow: UnitOfWork, secret_id: str, service: str, resource_type: str, resource_id: str
    ) -> bool:
        """Safe to repeat. :returns: whether it was there."""
        found = uow.secrets.consumer(secret_id, service, resource_type, resource_id)
        if found is None:
            return False
        uow.session.delete(found)
        uow.flush()
        return True

    def delete(self, uow: UnitOfWork, secret_id: str, project_id: str | None) -> None:
        """Forget a secret: its sealed bytes are gone with the commit.

        :raises SecretNotFound: the project has none such.
        :raises SecretInUse: it has consumers; there is no way round this.
        """
        secret = uow.secrets.get(secret_id, project_id, lock=True)
        if uow.secrets.has_consumers(secret_id):
            raise SecretInUse(secret_id=secret_id)
        uow.secrets.delete(secret)
