"""Key files in a bank: finding the master key for a password, and adding a key file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from protectd.common.clock import Clock
from protectd.plugin.base import BankObjectNotFound, BankPlugin
from protectd.vault.config import is_id
from protectd.vault.crypto import MasterKey
from protectd.vault.errors import (
    FormatError,
    VaultDamaged,
)
from protectd.vault.identity import WriterIdentity
from protectd.vault.keys import ScryptCost, create_key_file, open_key_file
from protectd.vault.listing import await_listed
from protectd.vault.presence import put_confirmed, refuse_short

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
    clock: Clock,
    cost: ScryptCost,
) -> str:
    """Store a key file that opens with a password, and wait until whoever looks for one finds it; its name.

    :raises WriteLost: the bank took it and does not have it. :raises ListingBehind: it is not listed.
    """
    who, created = {"username": identity.username, "hostname": identity.hostname}, clock.now()
    name, raw = create_key_file(key, password, created=created, cost=cost, **who)
    put_confirmed(bank, f"{KEYS}/{name}", raw)
    await_listed({name}, lambda: key_names(bank), KEYS, clock)
    return name


def load_key_file(bank: BankPlugin, name: str) -> bytes:
    """:raises BankObjectNotFound: there is none. :raises VaultDamaged: other bytes than were written."""
    raw = bank.get(f"{KEYS}/{name}")
    if hashlib.sha256(raw).hexdigest() != name:
        refuse_short(bank, f"{KEYS}/{name}", 0, len(raw))
        raise VaultDamaged(object=f"{KEYS}/{name}", reason="its bytes do not fit its name")
    return raw


def _try_key(bank: BankPlugin, name: str, password: str) -> MasterKey | None:
    try:
        return open_key_file(load_key_file(bank, name), password)
    except BankObjectNotFound:
        return None
    except FormatError as error:
        raise VaultDamaged(object=f"{KEYS}/{name}", reason=str(error)) from error
