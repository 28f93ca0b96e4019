"""Reading what is in a pack from its end alone."""

from __future__ import annotations

from protectd.common.units import KIB
from protectd.plugin.base import BankObjectNotFound, BankPlugin
from protectd.vault.crypto import OVERHEAD_BYTES, Sealer
from protectd.vault.errors import FormatError, UnitDamaged, VaultDamaged
from protectd.vault.pack import LENGTH_BYTES, MAX_HEADER_BYTES, BlobEntry, pack_key, parse_header
from protectd.vault.presence import refuse_short

_FIRST_BYTES = 64 * KIB
"""Most headers fit into so much; others take a second read."""


def read_header(bank: BankPlugin, sealer: Sealer, pack_id: bytes, size: int) -> list[BlobEntry]:
    """Entries of a pack in file order. Its blobs are not looked at.

    :param size: of the pack in the bank, bytes.
    :raises VaultDamaged: it has no header that opens and fits; or it is gone.
    """
    try:
        tail = _tail(bank, pack_key(pack_id), size)
        entries = parse_header(sealer.open(tail[:-LENGTH_BYTES]))
        if entries[-1].offset + entries[-1].length != size - len(tail):
            raise FormatError(reason="its blobs and its header do not fill it")
    except (FormatError, UnitDamaged) as error:
        raise VaultDamaged(object=pack_key(pack_id), reason=f"its header: {error}") from error
    except BankObjectNotFound:
        raise VaultDamaged(object=pack_key(pack_id), reason="the bank does not have it any more") from None
    return entries


def _tail(bank: BankPlugin, key: str, size: int) -> bytes:
    """The sealed header and its length, no more."""
    first = min(size, _FIRST_BYTES)
    tail = _get(bank, key, size - first, first)
    length = int.from_bytes(tail[-LENGTH_BYTES:], "little") + LENGTH_BYTES
    if len(tail) < first or not OVERHEAD_BYTES + LENGTH_BYTES < length <= min(size, MAX_HEADER_BYTES):
        raise FormatError(reason="the length of it is wrong")
    if length <= first:
        return tail[-length:]
    whole = _get(bank, key, size - length, length)
    if len(whole) < length:
        raise FormatError(reason="it is cut off")
    return whole


def _get(bank: BankPlugin, key: str, offset: int, length: int) -> bytes:
    """Less than was asked for only where the object ends."""
    data = bank.get(key, offset, length)
    if len(data) < length:
        refuse_short(bank, key, offset, len(data), length)
    return data
