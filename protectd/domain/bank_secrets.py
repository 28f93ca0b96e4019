"""Credentials of banks among the secrets of the service's own project: `secret:<id>` in a provider's file."""

from __future__ import annotations

from collections.abc import Callable

from protectd.common.clock import Clock
from protectd.common.errors import ProtectdError, Unavailable
from protectd.common.memory import Memory
from protectd.domain.secrets import Secrets
from protectd.model.models import Secret
from protectd.model.repositories.secrets import SecretNotFound
from protectd.model.unit_of_work import Database, UnitOfWork
from protectd.plugin.base import BankRefused, BankUnavailable

SECRET_TYPE = "bank-credential"
"""No other secret of the service is ever shown to a bank."""

REMEMBERED_S = 10.0
"""A bank that signs each request asks that often only; another text is taken up so soon."""


class BankSecrets:
    """Put there by an operator, opened when a bank signs in. Thread safe.

    :param secrets: made when it is first needed: who reaches no bank needs no master key.
    :param project_id: the project that owns them; no tenant's.
    """

    def __init__(
        self, database: Database, secrets: Callable[[], Secrets], project_id: str, clock: Clock
    ) -> None:
        self._database = database
        self._secrets = secrets
        self._project_id = project_id
        self._known: Memory[str, str] = Memory(REMEMBERED_S, monotonic=clock.monotonic)

    def open(self, secret_id: str) -> str:
        """:raises BankUnavailable: the database is away. :raises BankRefused: there is none such, or it does
        not open."""
        text = self._known.recall(secret_id)
        if text is None:
            text = self._opened(secret_id)
            self._known.note(secret_id, text)
        return text

    def _opened(self, secret_id: str) -> str:
        try:
            with self._database.read() as uow:
                return self._secrets().unseal(uow, self._get(uow, secret_id)).decode()
        except Unavailable as error:
            raise BankUnavailable(reason=f"its credentials: {error}") from error
        except ProtectdError as error:
            raise BankRefused(key="its credentials", reason=str(error)) from error

    def add(self, name: str, text: str) -> str:
        """:returns: its id."""
        with self._database.write() as uow:
            plain = text.encode()
            secret = self._secrets().add(uow, self._project_id, plain, name=name, secret_type=SECRET_TYPE)
            return secret.id

    def replace(self, secret_id: str, text: str) -> None:
        """What names it uses the new text from the next sign-in on. :raises SecretNotFound: as `remove`."""
        with self._database.write() as uow:
            self._secrets().seal(uow, self._get(uow, secret_id, lock=True), text.encode())

    def remove(self, secret_id: str) -> None:
        """:raises SecretNotFound: there is none, or it is no credential of a bank."""
        with self._database.write() as uow:
            self._get(uow, secret_id, lock=True)
            self._secrets().delete(uow, secret_id, self._project_id)

    def all(self) -> list[Secret]:
        """Oldest first, sealed."""
        with self._database.read() as uow:
            return uow.secrets.of_type(self._project_id, SECRET_TYPE)

    def _get(self, uow: UnitOfWork, secret_id: str, *, lock: bool = False) -> Secret:
        secret = uow.secrets.get(secret_id, self._project_id, lock=lock)
        if secret.secret_type != SECRET_TYPE:
            raise SecretNotFound(id=secret_id)
        return secret
