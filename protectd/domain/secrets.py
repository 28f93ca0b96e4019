"""Secrets in rows: sealed by a store, opened for whoever may, kept as long as someone depends on them."""

from __future__ import annotations

from collections.abc import Mapping

from protectd.common.errors import ConfigurationError, Conflict
from protectd.common.ids import new_id
from protectd.model.models import Secret, SecretConsumer
from protectd.model.unit_of_work import UnitOfWork
from protectd.plugin.base import SealedSecret, SecretStorePlugin


class SecretInUse(Conflict):
    code = "secret.in_use"
    message = "secret {secret_id} has consumers"


class Secrets:
    """Seals with one store, opens with whichever sealed.

    :param stores: by the name that stands in the rows.
    :param default: the one that seals.
    :raises ConfigurationError: `default` is not one of them.
    """

    def __init__(self, stores: Mapping[str, SecretStorePlugin], default: str) -> None:
        self._stores = dict(stores)
        self._default = default
        self._store(default)

    def add(
        self, uow: UnitOfWork, project_id: str, plain: bytes, *, name: str = "", secret_type: str = "opaque"
    ) -> Secret:
        """Seal a new secret into a row of `project_id`."""
        secret_id = new_id()
        sealed = self._store(self._default).seal(plain, secret_id=secret_id, project_id=project_id)
        return uow.secrets.add(
            Secret(
                id=secret_id,
                project_id=project_id,
                name=name,
                secret_type=secret_type,
                store=self._default,
                key_id=sealed.key_id,
                cipher_text=sealed.cipher_text,
            )
        )

    def open(self, uow: UnitOfWork, secret_id: str, project_id: str | None) -> bytes:
        """The plain bytes. They are for use, not for keeping.

        :raises SecretNotFound: the project has none such.
        :raises SecretDamaged: the row is not what was sealed, or the master key is another.
        """
        secret = uow.secrets.get(secret_id, project_id)
        sealed = SealedSecret(secret.cipher_text, secret.key_id)
        store = self._store(secret.store)
        return store.open(sealed, secret_id=secret.id, project_id=secret.project_id)

    def reseal(self, uow: UnitOfWork, secret_id: str) -> None:
        """Seal again with the present store and master key; the plain bytes and the id stay."""
        plain = self.open(uow, secret_id, None)
        secret = uow.secrets.get(secret_id)
        sealed = self._store(self._default).seal(plain, secret_id=secret.id, project_id=secret.project_id)
        secret.store, secret.key_id, secret.cipher_text = self._default, sealed.key_id, sealed.cipher_text
        uow.flush()

    def add_consumer(
        self, uow: UnitOfWork, secret_id: str, service: str, resource_type: str, resource_id: str
    ) -> None:
        """Say that something depends on a secret. Safe to repeat.

        :raises SecretNotFound: it is not there, or not any more.
        """
        uow.secrets.get(secret_id, lock=True)
        if uow.secrets.consumer(secret_id, service, resource_type, resource_id) is None:
            uow.session.add(SecretConsumer.of(secret_id, service, resource_type, resource_id))
            uow.flush()

    def remove_consumer(
        self, uow: UnitOfWork, secret_id: str, service: str, resource_type: str, resource_id: str
    ) -> None:
        """Safe to repeat."""
        found = uow.secrets.consumer(secret_id, service, resource_type, resource_id)
        if found is not None:
            uow.session.delete(found)
            uow.flush()

    def delete(self, uow: UnitOfWork, secret_id: str, project_id: str | None) -> None:
        """Forget a secret: its sealed bytes are gone with the commit.

        :raises SecretNotFound: the project has none such.
        :raises SecretInUse: it has consumers; there is no way round this.
        """
        secret = uow.secrets.get(secret_id, project_id, lock=True)
        if uow.secrets.has_consumers(secret_id):
            raise SecretInUse(secret_id=secret_id)
        uow.secrets.delete(secret)

    def _store(self, name: str) -> SecretStorePlugin:
        if name not in self._stores:
            raise ConfigurationError(where="secrets", reason=f"there is no store {name}")
        return self._stores[name]
