"""Is it really there, and all of it? What a bank says is not believed where data would be lost by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from protectd.plugin.base import BankObjectNotFound, BankPlugin, BankUnavailable, Buffer
from protectd.vault.errors import WriteLost

_THREADS = 16
"""The answers are small: what is waited for is the bank."""


def put_confirmed(bank: BankPlugin, key: str, data: Buffer) -> None:
    """Store an object under a new key, and ask whether it is there. Costs one small question more.

    :raises WriteLost: the bank took it and does not have it, or not all; what it has of it is removed.
    """
    bank.put(key, data)
    found = size_of(bank, key)
    try:
        _confirm(key, found, memoryview(data).nbytes)
    except WriteLost:
        if found is not None:
            bank.delete(key)
        raise


def confirm_stored(bank: BankPlugin, sizes: Mapping[str, int]) -> None:
    """Ask for each object that was stored, before anything relies on it. A listing would cost more in a large
    bank, and may be behind.

    :param sizes: bytes by key.
    :raises WriteLost: one of them is not there, or not all of it.
    """
    for key, found in sizes_of(bank, sizes).items():
        _confirm(key, found, sizes[key])


def _confirm(key: str, found: int | None, expected: int) -> None:
    if found != expected:
        reason = "it is not there" if found is None else f"it has {found} bytes, not {expected}"
        raise WriteLost(object=key, reason=reason)


def sizes_of(bank: BankPlugin, keys: Iterable[str]) -> dict[str, int | None]:
    """Bytes of each object as the bank knows them, several being asked for at once; None where it is not."""
    keys = list(keys)
    if len(keys) < 2:
        return {key: size_of(bank, key) for key in keys}
    with ThreadPoolExecutor(min(_THREADS, len(keys)), thread_name_prefix="vault-size") as threads:
        return dict(zip(keys, threads.map(lambda key: size_of(bank, key), keys), strict=True))


def size_of(bank: BankPlugin, key: str) -> int | None:
    """Bytes of an object; None when there is none."""
    try:
        return bank.size(key)
    except BankObjectNotFound:
        return None


def refuse_short(bank: BankPlugin, key: str, offset: int, read: int, wanted: int | None = None) -> None:
    """Tell an answer that broke off from damage: for whoever has read too little, or what is no good.

    :param read: bytes that came from `offset` on. :param wanted: as many as were asked for; None for all.
    :raises BankUnavailable: the object goes on where the answer ended.
    """
    rest = max(0, (size_of(bank, key) or 0) - offset)
    expected = rest if wanted is None else min(rest, wanted)
    if read < expected:
        raise BankUnavailable(reason=f"it gave {read} of {expected} bytes of {key}")
