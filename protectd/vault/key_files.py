"""Who can open a vault: its key files, one more, one less."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from protectd.common.clock import Clock
from protectd.plugin.base import BankObjectNotFound, BankPlugin
from protectd.vault.errors import (
    AmbiguousName,
    EmptyPassword,
    FormatError,
    KeyNeeded,
    KeyNotFound,
    VaultDamaged,
)
from protectd.vault.identity import WriterIdentity
from protectd.vault.keyring import KEYS, key_names, load_key_file, opens, store_key
from protectd.vault.keys import PERSON_PASSWORD_COST, ScryptCost, key_file_facts
from protectd.vault.locks import exclusive_lock, shared_lock
from protectd.vault.repository import Repository


@dataclass(frozen=True, slots=True)
class KeyFile:
    """`current`: it opens with the password that was named. `damage` is "" for a good one; one that is
    damaged opens with no password, and nothing else is known of it."""

    id: str
    created: datetime | None = None
    username: str = ""
    hostname: str = ""
    current: bool = False
    damage: str = ""


def list_keys(bank: BankPlugin, password: str | None = None) -> list[KeyFile]:
    """All key files, the oldest first.

    :param password: whose key files are `current`; each try costs a key derivation.
    """
    found = [_key_file(bank, name, password) for name in key_names(bank)]
    there = [each for each in found if each is not None]
    return sorted(there, key=lambda each: (each.created is None, each.created, each.id))


def _key_file(bank: BankPlugin, name: str, password: str | None) -> KeyFile | None:
    try:
        created, username, hostname = key_file_facts(load_key_file(bank, name))
        current = password is not None and opens(bank, name, password)
    except BankObjectNotFound:  # someone has just removed it
        return None
    except (FormatError, VaultDamaged) as error:
        return KeyFile(name, damage=str(error))
    return KeyFile(name, created, username, hostname, current)


def add_key(
    repository: Repository,
    password: str,
    identity: WriterIdentity,
    clock: Clock,
    *,
    cost: ScryptCost = PERSON_PASSWORD_COST,
    wait_s: float = 0.0,
) -> str:
    """Let one more password open the vault; the id of its key file. What is stored stays as it is.

    :param cost: lower it only for a password of 256 random bits.
    :raises EmptyPassword: it is; nobody would be kept out.
    """
    if not password:
        raise EmptyPassword()
    with shared_lock(repository, identity, clock, wait_s):
        return store_key(repository.bank, repository.key, password, identity, clock, cost)


def remove_key(
    repository: Repository,
    text: str,
    password: str,
    identity: WriterIdentity,
    clock: Clock,
    *,
    wait_s: float = 0.0,
    check: Callable[[], None] = lambda: None,
) -> str:
    """Remove the key file with this id, or start of one (four digits or more); its whole id.

    Whoever had opened the vault with it may have kept the master key: this does not take back what was read.

    :param password: what has to open the vault afterwards.
    :raises KeyNeeded: it is the one that `password` opens. :raises KeyNotFound: there is none.
    """
    with exclusive_lock(repository, identity, clock, wait_s, check=check):
        names = key_names(repository.bank)
        name = choose_key(names, text)
        others = [each for each in names if each != name]
        if _opens(repository.bank, name, password):
            raise KeyNeeded(key_id=name, reason="the service opens the vault with it; rotate its password")
        if not any(_opens(repository.bank, each, password) for each in others):
            raise KeyNeeded(key_id=name, reason="no other one is known to open")
        repository.bank.delete(f"{KEYS}/{name}")
        return name


def choose_key(names: Sequence[str], text: str) -> str:
    """:raises KeyNotFound: none is called so. :raises AmbiguousName: several start so."""
    found = [name for name in names if len(text) >= 4 and name.startswith(text)]
    if not found:
        raise KeyNotFound(key_id=text)
    if len(found) > 1:
        raise AmbiguousName(name=text, kind="keys", found=", ".join(each[:16] for each in found[:8]))
    return found[0]


def keys_of(bank: BankPlugin, password: str) -> list[str]:
    """Ids of the key files that open with a password; each that is there costs a key derivation."""
    return [name for name in key_names(bank) if _opens(bank, name, password)]


def remove_keys_of(
    repository: Repository,
    password: str,
    identity: WriterIdentity,
    clock: Clock,
    *,
    wait_s: float = 0.0,
) -> list[str]:
    """Remove all key files that open with a password; their ids. Safe to repeat. The caller knows another
    password that opens."""
    if not keys_of(repository.bank, password):
        return []
    with exclusive_lock(repository, identity, clock, wait_s):
        names = keys_of(repository.bank, password)  # one more may have come while the lock was waited for
        for name in names:
            repository.bank.delete(f"{KEYS}/{name}")
        return names


def _opens(bank: BankPlugin, name: str, password: str) -> bool:
    """A damaged one opens with nothing."""
    try:
        return opens(bank, name, password)
    except VaultDamaged:
        return False
