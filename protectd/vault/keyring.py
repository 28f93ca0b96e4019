"""Key files in a bank: finding the master key for a password, and adding a key file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime

from protectd.plugin.base import BankObjectNotFound, BankPlugin
from protectd.vault.config import is_id
from protectd.vault.crypto import MasterKey
from protectd.vault.errors import (
    FormatError,
    VaultDamaged,
)
from protectd.vault.identity import WriterIdentity
from protectd.vault.keys import ScryptCost, create_key_file, open_key_file

KEYS = "keys"


def master_keys(bank: BankPlugin, password: str, *, damaged_too: bool = True) -> Iterator[MasterKey]:
    """The master key of each key file that opens with this password; each try costs a key derivation.

    :raises VaultDamaged: at the end, when a file is not what was written (unless `damaged_too` is false).
    """
    damaged: VaultDamaged | None = None
    for name in key_names(bank):
        try:
            key = _try_key(bank, name, password)
        except VaultDamaged as error:
            damaged = error
            continue
        if key is not None:
            yield key
    if damaged and damaged_too:
        raise damaged


def key_names(bank: BankPlugin) -> list[str]:
    return sorted(name for item in bank.list(KEYS) if is_id(name := item.key.rpartition("/")[2]))


def opens(bank: BankPlugin, name: str, password: str) -> bool:
    """Whether a key file belongs to a password; no for one that is gone.

    :raises VaultDamaged: the file is not what was written.
    """
    return _try_key(bank, name, password) is not None


def store_key(
    bank: BankPlugin,
    key: MasterKey,
    password: str,
    identity: WriterIdentity,
    created: datetime,
    cost: ScryptCost,
) -> str:
    name, raw = create_key_file(
        key, password, created=created, username=identity.username, hostname=identity.hostname, cost=cost
    )
    bank.put(f"{KEYS}/{name}", raw)
    return name


def load_key_file(bank: BankPlugin, name: str) -> bytes:
    """:raises BankObjectNotFound: there is none. :raises VaultDamaged: other bytes than were written."""
    raw = bank.get(f"{KEYS}/{name}")
    if hashlib.sha256(raw).hexdigest() != name:
        raise VaultDamaged(object=f"{KEYS}/{name}", reason="its bytes do not fit its name")
    return raw


def _try_key(bank: BankPlugin, name: str, password: str) -> MasterKey | None:
    try:
        return open_key_file(load_key_file(bank, name), password)
    except BankObjectNotFound:
        return None
    except FormatError as error:
        raise VaultDamaged(object=f"{KEYS}/{name}", reason=str(error)) from error
