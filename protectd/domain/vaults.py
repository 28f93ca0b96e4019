"""Which vault belongs to a provider and a project: made at first use, opened with a sealed password."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol, TypeVar

from sqlalchemy.exc import IntegrityError

from protectd.common.clock import Clock
from protectd.common.errors import ConfigurationError, ProtectdError, Unavailable
from protectd.common.ids import new_id
from protectd.domain.secrets import Secrets
from protectd.domain.vault_passwords import VaultPasswords
from protectd.domain.vault_rotation import Rotation
from protectd.model.models import Vault
from protectd.model.repositories.secrets import SecretNotFound
from protectd.model.repositories.vaults import VaultRowNotFound
from protectd.model.states import VaultStatus, move
from protectd.model.unit_of_work import Database
from protectd.plugin.base import BankObjectNotFound, BankPlugin
from protectd.vault.config import VaultConfig
from protectd.vault.crypto import MasterKey, Sealer
from protectd.vault.engine import VaultEngine, VaultSession
from protectd.vault.errors import VaultError, WrongPassword
from protectd.vault.keys import create_key_file
from protectd.vault.repository import CONFIG, KEYS, Repository, WriterIdentity

T = TypeVar("T")


class ProviderPlace(Protocol):
    """What is needed of a provider."""

    @property
    def id(self) -> str: ...

    def vault_bank(self, project_id: str) -> BankPlugin: ...


class OtherVault(VaultError):
    """The bank holds another vault than the one that was made for this project."""

    code = "vault.other"
    message = "the bank of provider {provider_id} holds vault {found}, not {wanted}"


class Vaults:
    """Safe from many threads and processes: creators of one vault agree, and a creation that was cut off is
    finished by the next use.

    :param service_project_id: the project that owns the passwords; no tenant's.
    :param identity: stands in the key files.

    An opened master key is kept in memory as long as this object lives.
    """

    def __init__(
        self,
        database: Database,
        secrets: Secrets,
        engine: VaultEngine,
        clock: Clock,
        service_project_id: str,
        identity: WriterIdentity,
    ) -> None:
        self._database = database
        self._passwords = VaultPasswords(database, secrets, service_project_id)
        self._engine = engine
        self._clock = clock
        self._identity = identity
        self._keys: dict[str, MasterKey] = {}
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._guard = threading.Lock()

    @contextmanager
    def session(
        self, provider: ProviderPlace, project_id: str, *, make: bool = True
    ) -> Iterator[VaultSession]:
        """The open vault of a project.

        :param make: one when there is none yet.
        :raises VaultRowNotFound: nothing was protected yet, and none is to be made.
        :raises VaultError: it is damaged, gone, or another than it was.
        :raises Unavailable: the database or the bank is away.
        """
        bank = provider.vault_bank(project_id)
        if not make:
            self._required(provider.id, project_id)
        key = self._master_key(provider.id, project_id, bank)
        with self._engine.session(bank, key) as session:
            yield session

    def credentials(self, provider: ProviderPlace, project_id: str) -> tuple[str, str]:
        """Repository and password as the restic program wants them.

        :raises VaultRowNotFound: nothing was protected yet.
        :raises ConfigurationError: restic cannot reach such a bank.
        """
        bank = provider.vault_bank(project_id)
        if not bank.location:
            raise ConfigurationError(where=f"provider {provider.id}", reason="restic cannot open its bank")
        return bank.location, self.password(provider, project_id)

    def password(self, provider: ProviderPlace, project_id: str) -> str:
        """The one that the service opens the vault with; it is proven to.

        :raises VaultRowNotFound: nothing was protected yet.
        """
        self._required(provider.id, project_id)
        self._master_key(provider.id, project_id, provider.vault_bank(project_id))
        return self._with_password(self._required(provider.id, project_id), str)

    def rotate(self, provider: ProviderPlace, project_id: str) -> list[str]:
        """Give the vault another password; ids of the key files that went. May be killed at any instant and
        run again: see `vault_rotation`. Sessions that are open go on.

        :raises VaultRowNotFound: nothing was protected yet.
        """
        bank = provider.vault_bank(project_id)
        self._required(provider.id, project_id)
        repository = Repository.with_key(bank, self._master_key(provider.id, project_id, bank))
        vault = self._required(provider.id, project_id)
        return Rotation(self._passwords, vault, repository, self._engine.options, self._clock).run()

    def adopt(self, provider: ProviderPlace, project_id: str, password: str) -> None:
        """Take a vault that the database has lost, or cannot open any more, with a password that opens it:
        that is the service's from now on. One that the service can open stays as it is. Safe to repeat.

        :raises VaultNotFound: the bank has none. :raises WrongPassword: it is none of the vault's.
        :raises OtherVault: the database knows another one of this place.
        """
        bank = provider.vault_bank(project_id)
        repository = Repository.open(bank, password)
        vault = self._find(provider.id, project_id)
        if vault is not None and vault.repository_id not in (None, repository.config.id):
            raise OtherVault(provider_id=provider.id, found=repository.config.id, wanted=vault.repository_id)
        if vault is None or not self._opens(vault, bank):
            vault = vault or Vault(id=new_id(), provider_id=provider.id, project_id=project_id)
            self._passwords.adopt(vault, password, repository.config.id)

    def _opens(self, vault: Vault, bank: BankPlugin) -> bool:
        """Whether the password in the database is there, reads, and opens it."""
        try:
            self._master_key(vault.provider_id, vault.project_id, bank)
        except Unavailable:
            raise
        except ProtectdError:
            return False
        return True

    def _required(self, provider_id: str, project_id: str) -> Vault:
        vault = self._find(provider_id, project_id)
        if vault is None:
            raise VaultRowNotFound(id=f"{provider_id}/{project_id}")
        return vault

    def _master_key(self, provider_id: str, project_id: str, bank: BankPlugin) -> MasterKey:
        """One thread at a time derives or makes the key of one vault; the others find it."""
        with self._lock(provider_id, project_id):
            vault = self._find(provider_id, project_id) or self._register(provider_id, project_id)
            if vault.id not in self._keys:
                self._keys[vault.id] = self._open(vault, bank)
            return self._keys[vault.id]

    def _lock(self, provider_id: str, project_id: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault((provider_id, project_id), threading.Lock())

    def _find(self, provider_id: str, project_id: str) -> Vault | None:
        with self._database.read() as uow:
            return uow.vaults.of(provider_id, project_id)

    def _register(self, provider_id: str, project_id: str) -> Vault:
        """Commit the password and what the bank will hold, before anything is in the bank. Of several at once
        the database lets one pass; the others take its row."""
        try:
            return self._add(provider_id, project_id)
        except IntegrityError:
            found = self._find(provider_id, project_id)
            if found is None:
                raise
            return found

    def _add(self, provider_id: str, project_id: str) -> Vault:
        password = self._passwords.new()
        vault = Vault(
            id=new_id(), provider_id=provider_id, project_id=project_id, initial=self._initial(password)
        )
        with self._database.write() as uow:
            secret = self._passwords.add(uow, vault, password)
            vault.secret_id = secret.id
            uow.vaults.add(vault)
            self._passwords.bind(uow, secret, vault)
        return vault

    def _initial(self, password: str) -> dict[str, str]:
        """The key file and the config of a new repository, ready to be stored."""
        key = MasterKey.generate()
        identity = self._identity
        name, raw = create_key_file(
            key,
            password,
            created=self._clock.now(),
            username=identity.username,
            hostname=identity.hostname,
        )
        config = Sealer(key).seal(VaultConfig.generate().encode())
        return {
            f"{KEYS}/{name}": base64.b64encode(raw).decode(),
            CONFIG: base64.b64encode(config).decode(),
        }

    def _open(self, vault: Vault, bank: BankPlugin) -> MasterKey:
        if vault.status == VaultStatus.CREATING and vault.initial is not None:
            _put_initial(bank, vault.initial)
        repository = self._with_password(vault, partial(Repository.open, bank))
        if vault.status == VaultStatus.CREATING:
            self._ready(vault, repository)
        elif vault.repository_id != repository.config.id:
            raise OtherVault(
                provider_id=vault.provider_id, found=repository.config.id, wanted=vault.repository_id
            )
        return repository.key

    def _with_password(self, vault: Vault, use: Callable[[str], T]) -> T:
        """Use the present password; once more when it has just become another one."""
        try:
            return use(self._passwords.present(vault))
        except (WrongPassword, SecretNotFound):
            now = self._required(vault.provider_id, vault.project_id)
            if now.secret_id == vault.secret_id:
                raise
            return use(self._passwords.present(now))

    def _ready(self, vault: Vault, repository: Repository) -> None:
        """Whoever is later finds it done."""
        with self._database.write() as uow:
            move(
                uow.session,
                Vault,
                vault.id,
                VaultStatus.CREATING,
                VaultStatus.READY,
                repository_id=repository.config.id,
                initial=None,
            )


def _put_initial(bank: BankPlugin, initial: dict[str, str]) -> None:
    """The config comes last and is never replaced: with it a repository is one."""
    bank.prepare()
    try:
        bank.size(CONFIG)
    except BankObjectNotFound:
        for key in sorted(initial, key=CONFIG.__eq__):
            bank.put(key, base64.b64decode(initial[key]))
