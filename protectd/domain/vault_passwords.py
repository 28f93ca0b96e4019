"""Passwords of vaults among the secrets of the service's own project, also while one follows another."""

from __future__ import annotations

import base64
import secrets as random
from contextlib import suppress

from protectd.domain.secrets import Secrets
from protectd.model.models import Secret, Vault
from protectd.model.repositories.secrets import SecretNotFound
from protectd.model.states import VaultStatus
from protectd.model.unit_of_work import Database, UnitOfWork

PASSWORD_BYTES = 32
SECRET_TYPE = "vault-password"
NEXT_TYPE = "vault-password-next"
"""Of a password that is to take the place of the present one. Its vault's row does not name it yet."""
FORMER_TYPE = "vault-password-former"
"""Of one that the vault's row does not name any more, while its key file may still be in the bank."""
CONSUMER = ("protectd", "vault")
"""Service and resource type of a vault among a secret's consumers."""


class VaultPasswords:
    """:param project_id: the project that owns the passwords; no tenant's."""

    def __init__(self, database: Database, secrets: Secrets, project_id: str) -> None:
        self._database = database
        self._secrets = secrets
        self._project_id = project_id

    def new(self) -> str:
        return base64.urlsafe_b64encode(random.token_bytes(PASSWORD_BYTES)).rstrip(b"=").decode()

    def add(self, uow: UnitOfWork, vault: Vault, password: str, secret_type: str = SECRET_TYPE) -> Secret:
        """Seal a password for a vault that is to be added, or is there: `add_consumer` then binds them."""
        return self._secrets.add(
            uow, self._project_id, password.encode(), name=f"vault {vault.id}", secret_type=secret_type
        )

    def bind(self, uow: UnitOfWork, secret: Secret, vault: Vault) -> None:
        """From now on nobody deletes the secret; the vault's row is there."""
        self._secrets.add_consumer(uow, secret.id, *CONSUMER, vault.id)

    def present(self, vault: Vault) -> str:
        """:raises SecretNotFound: it was another's place by now: read the vault's row again."""
        with self._database.read() as uow:
            return self._open(uow, vault.secret_id)

    def adopt(self, vault: Vault, password: str, repository_id: str) -> None:
        """Have a ready vault's row, new or not, name this password, which is known to open it."""
        with self._database.write() as uow:
            row = uow.vaults.find(vault.id, lock=True)
            former = None if row is None else row.secret_id
            row = row or vault
            row.status, row.repository_id, row.initial = VaultStatus.READY, repository_id, None
            secret = self.add(uow, row, password)
            row.secret_id = secret.id
            uow.vaults.add(row)
            self.bind(uow, secret, row)
        if former is not None:
            self.drop(vault, former)

    def _open(self, uow: UnitOfWork, secret_id: str) -> str:
        return self._secrets.open(uow, secret_id, self._project_id).decode()

    # --- a change of password ---

    def prepare_next(self, vault: Vault) -> tuple[str, str]:
        """Id and text of the password that comes next: one that a run which was cut off has left, or a new
        one. It is in the database before any key file is made with it."""
        with self._database.write() as uow:
            uow.vaults.get(vault.id, lock=True)
            secret = self._one(uow, vault, NEXT_TYPE)
            if secret is None:
                secret = self.add(uow, vault, self.new(), NEXT_TYPE)
                self.bind(uow, secret, vault)
            return secret.id, self._open(uow, secret.id)

    def is_next(self, secret_id: str) -> bool:
        """Whether no run has made it the present one yet."""
        with self._database.read() as uow:
            secret = uow.secrets.find(secret_id, self._project_id)
            return secret is not None and secret.secret_type == NEXT_TYPE

    def switch(self, vault: Vault, secret_id: str) -> None:
        """Make the next password the present one, unless another run has done so; all in one transaction.

        A key file for it is in the bank, and is known to open the vault.
        """
        with self._database.write() as uow:
            row = uow.vaults.get(vault.id, lock=True)
            secret = uow.secrets.find(secret_id, self._project_id, lock=True)
            if secret is not None and secret.secret_type == NEXT_TYPE:
                uow.secrets.get(row.secret_id, self._project_id, lock=True).secret_type = FORMER_TYPE
                secret.secret_type = SECRET_TYPE
                row.secret_id = secret_id

    def former(self, vault: Vault) -> list[tuple[str, str]]:
        """Id and text of passwords whose key files may still be there."""
        found = []
        with self._database.read() as uow:
            for secret in self._all(uow, vault):
                with suppress(SecretNotFound):  # another run has just dropped it
                    if secret.secret_type == FORMER_TYPE:
                        found.append((secret.id, self._open(uow, secret.id)))
        return found

    def drop(self, vault: Vault, secret_id: str) -> None:
        """Forget a former password. Safe to repeat."""
        with self._database.write() as uow:
            if uow.secrets.find(secret_id, self._project_id, lock=True) is not None:
                self._secrets.remove_consumer(uow, secret_id, *CONSUMER, vault.id)
                self._secrets.delete(uow, secret_id, self._project_id)

    def _one(self, uow: UnitOfWork, vault: Vault, secret_type: str) -> Secret | None:
        return next((each for each in self._all(uow, vault) if each.secret_type == secret_type), None)

    def _all(self, uow: UnitOfWork, vault: Vault) -> list[Secret]:
        return uow.secrets.consumed_by(*CONSUMER, vault.id)
