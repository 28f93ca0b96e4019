"""From one master key to the next: every key of a project is sealed anew, none is ever without a seal.

Each batch is one transaction in which a row changes only if it is still as it was read. Whoever is killed
in between leaves rows that open, some with the former master key and some with the new one; the next run goes
on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from protectd.common.errors import Conflict
from protectd.domain.project_keys import ProjectKeys
from protectd.model.models import ProjectKeyRow, Secret
from protectd.model.unit_of_work import Database, UnitOfWork
from protectd.plugin.base import SecretDamaged, SecretStorePlugin, WrappedKey

BATCH = 1000
Told = Callable[[int], object]
"""Called with how many rows are done."""


class MasterKeyInUse(Conflict):
    code = "secret.master_key_in_use"
    message = "master key {master_key_id} still seals {count} keys and secrets; rewrap them first"


@dataclass(frozen=True, slots=True)
class MasterKeyUse:
    """What one master key seals. `present`: the store has it; `newest`: it is the one that seals."""

    id: str
    present: bool
    newest: bool
    project_keys: int
    secrets: int

    @property
    def count(self) -> int:
        return self.project_keys + self.secrets


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """:ivar damaged: ids of keys and secrets that do not open, and are as they were."""

    project_keys: int
    secrets: int
    damaged: list[str]


class MasterKeys:
    """The master keys of one store, and what depends on them. Any number may work at once."""

    def __init__(self, database: Database, keys: ProjectKeys, store_name: str) -> None:
        self._database = database
        self._keys = keys
        self._name = store_name

    @property
    def _store(self) -> SecretStorePlugin:
        return self._keys.store(self._name)

    def uses(self) -> list[MasterKeyUse]:
        """The store's master keys, the newest first, then those it lacks and something needs."""
        with self._database.read() as uow:
            return self._uses(uow)

    def _uses(self, uow: UnitOfWork) -> list[MasterKeyUse]:
        wrapped, direct = uow.project_keys.counts(), uow.project_keys.direct_counts()
        present = self._store.master_key_ids()
        needed = sorted({master for store, master in {**wrapped, **direct} if store == self._name})
        names = [*present, *(name for name in needed if name not in present)]
        return [
            MasterKeyUse(
                name,
                name in present,
                name in present[:1],
                wrapped.get((self._name, name), 0),
                direct.get((self._name, name), 0),
            )
            for name in names
        ]

    def add(self) -> str:
        """Make a master key that seals from now on; its id."""
        return self._store.add_master_key()

    def rewrap(self, batch: int = BATCH, told: Told = lambda _: None) -> Rewrapped:
        """Seal with the newest master key whatever others seal. Safe to repeat, and to break off. What needs
        a master key that is not there counts as damaged."""
        run = _Run(self, batch, told)
        for use in self.uses():
            if not use.newest and use.count:
                run.keys_of(use.id)
                run.secrets_of(use.id)
        return Rewrapped(run.project_keys, run.secrets, run.damaged)

    def drop(self, master_key_id: str) -> None:
        """Forget a master key for good. While it is counted and dropped nobody seals a key: one that was
        made shortly before is waited for, and counted; so the file is written within the transaction.

        :raises MasterKeyInUse: something is sealed with it.
        """
        with self._database.write() as uow:
            uow.project_keys.lock_master_keys()
            for use in self._uses(uow):
                if use.id == master_key_id and use.count:
                    raise MasterKeyInUse(master_key_id=master_key_id, count=use.count)
            self._store.drop_master_key(master_key_id)

    # --- one batch ---

    def rewrap_keys(self, master_key_id: str, batch: int, after_id: str) -> tuple[str | None, int, list[str]]:
        """:returns: the id to go on after (None: that was all), how many were changed, and damaged ones."""
        with self._database.write() as uow:
            uow.project_keys.lock_master_keys()
            rows = uow.project_keys.sealed_with(self._name, master_key_id, batch, after_id)
            changed, damaged = [], []
            for row in rows:
                try:
                    made = self._rewrapped(row)
                except SecretDamaged:
                    damaged.append(row.id)
                else:
                    changed.append((row.id, row.master_key_id, made.master_key_id, made.wrapped))
            uow.project_keys.replace(changed)
        return (rows[-1].id if len(rows) == batch else None), len(changed), damaged

    def _rewrapped(self, row: ProjectKeyRow) -> WrappedKey:
        wrapped = WrappedKey(row.master_key_id, bytes(row.wrapped))
        return self._store.rewrap(wrapped, key_id=row.id, project_id=row.project_id)

    def reseal_secrets(self, master_key_id: str, batch: int, skipped: Sequence[str]) -> tuple[int, list[str]]:
        """Give secrets that a master key seals itself to their projects' keys; how many, and damaged ones."""
        with self._database.write() as uow:
            rows = uow.project_keys.directly_sealed(self._name, master_key_id, batch + len(skipped))
            wanted = [row for row in rows if row.id not in skipped][:batch]
            return reseal(uow, self._keys, wanted, self._name)


def reseal(
    uow: UnitOfWork, keys: ProjectKeys, secrets: Sequence[Secret], store: str
) -> tuple[int, list[str]]:
    """Seal secrets with the keys that their projects have in a store; how many, and damaged ones."""
    done, damaged = 0, []
    for secret in secrets:
        try:
            key = keys.of(uow, secret.key_id, secret.project_id, secret.store)
            plain = key.open(secret.cipher_text, secret.id)
        except SecretDamaged:
            damaged.append(secret.id)
        else:
            key_id, key = keys.current(uow, secret.project_id, store)
            done += uow.project_keys.reseal(secret, store, key_id, key.seal(plain, secret.id))
    return done, damaged


class _Run:
    """One way through everything that is to be sealed anew."""

    def __init__(self, keys: MasterKeys, batch: int, told: Told) -> None:
        self._keys = keys
        self._batch = batch
        self._told = told
        self.project_keys = 0
        self.secrets = 0
        self.damaged: list[str] = []

    def keys_of(self, master_key_id: str) -> None:
        after: str | None = ""
        while after is not None:
            after, done, damaged = self._keys.rewrap_keys(master_key_id, self._batch, after)
            self.project_keys += done
            self.damaged += damaged
            self._told(self.project_keys + self.secrets)

    def secrets_of(self, master_key_id: str) -> None:
        while True:
            done, damaged = self._keys.reseal_secrets(master_key_id, self._batch, self.damaged)
            self.secrets += done
            self.damaged += damaged
            self._told(self.project_keys + self.secrets)
            if not done + len(damaged):
                return
