"""Is a pack what was written? And which packs are there at all?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import zstandard

from protectd.plugin.base import BankObjectNotFound, BankPlugin, BankRefused, BankUnavailable
from protectd.vault.config import is_id
from protectd.vault.crypto import Buffer, Sealer
from protectd.vault.digests import Whole, grouped
from protectd.vault.errors import FormatError, UnitDamaged, VaultDamaged
from protectd.vault.findings import BRING_BACK, REBUILD_INDEX, TRY_AGAIN, PackFindings
from protectd.vault.index import BlobIndex, Rows
from protectd.vault.pack import BlobEntry, open_header, open_unproven, pack_bytes, pack_key, prove
from protectd.vault.presence import refuse_short
from protectd.vault.repository import DATA


def read_and_check_pack(
    bank: BankPlugin,
    pack_id: bytes,
    entries: Sequence[BlobEntry],
    sealer: Sealer,
    buffer: memoryview,
    decompressor: zstandard.ZstdDecompressor | None = None,
) -> PackFindings:
    """Read one pack from the medium and prove it.

    :param buffer: reused from pack to pack; a larger one is made when it is too small.
    """
    expected = pack_bytes(entries)
    if len(buffer) <= expected:
        buffer = memoryview(bytearray(expected + 1))
    try:
        # One byte more than expected is asked for, so that a longer object shows.
        size = bank.read_into(pack_key(pack_id), buffer[: expected + 1], fresh=True)
        if size < expected:
            refuse_short(bank, pack_key(pack_id), 0, size)
    except BankObjectNotFound:
        return PackFindings(0, [f"{pack_key(pack_id)} does not exist and an index names it; {BRING_BACK}"])
    except (BankUnavailable, BankRefused) as error:
        return PackFindings(0, unread=[f"{pack_key(pack_id)} could not be read: {error}; {TRY_AGAIN}"])
    return PackFindings(size, check_pack(buffer[:size], pack_id, entries, sealer, decompressor))


def check_pack(
    pack: Buffer,
    pack_id: bytes,
    entries: Sequence[BlobEntry],
    sealer: Sealer,
    decompressor: zstandard.ZstdDecompressor | None = None,
) -> list[str]:
    """Prove a pack: its hash, its header against the index, each blob's tag, frame and hash.

    :param entries: what the index says of it.
    :returns: one sentence for each thing that is wrong; none for a good pack. Never raises for bad bytes.
    """
    decompressor = decompressor or zstandard.ZstdDecompressor()
    bad: list[VaultDamaged] = []

    def opened() -> Iterator[tuple[BlobEntry, bytes]]:
        view = memoryview(pack)
        for entry in entries:
            unit = view[entry.offset : entry.offset + entry.length]
            try:
                yield entry, open_unproven(sealer, decompressor, entry, unit)
            except VaultDamaged as error:
                bad.append(error)

    whole = Whole()
    for group in grouped(opened()):
        found = whole.beside([plain for _, plain in group], pack)
        asked = [entry for entry, _ in group]
        del group  # before the next ones are opened
        for entry, digest in zip(asked, found, strict=True):
            try:
                prove(entry, digest)
            except VaultDamaged as error:
                bad.append(error)
    errors = []
    if whole.digest(pack) != pack_id:
        errors.append(f"{pack_key(pack_id)} is damaged: its bytes do not fit its name; {BRING_BACK}")
    errors.extend(_check_header(pack, pack_id, entries, sealer))
    errors.extend(f"{pack_key(pack_id)}: {error}; {BRING_BACK}" for error in bad)
    return errors


def _check_header(
    pack: Buffer, pack_id: bytes, entries: Sequence[BlobEntry], sealer: Sealer
) -> Iterator[str]:
    try:
        header = open_header(sealer, pack)
    except (FormatError, UnitDamaged) as error:
        yield f"{pack_key(pack_id)} is damaged: its header: {error}; {BRING_BACK}"
        return
    if header != sorted(entries, key=lambda entry: entry.offset):
        yield f"{pack_key(pack_id)}: its header and the index tell different things; {REBUILD_INDEX}"


def mixed_packs(index: BlobIndex) -> Rows:
    """Numbers of the packs that hold both kinds."""
    _, packs, kinds, _ = index.columns()
    trees = np.bincount(packs, kinds, len(index.pack_ids))
    return np.flatnonzero((trees > 0) & (trees < np.bincount(packs, minlength=len(index.pack_ids))))


def stored_packs(bank: BankPlugin) -> dict[bytes, int]:
    """Size of every pack in the bank; other names are ignored."""
    items = ((item.key.rpartition("/")[2], item.size) for item in bank.list(DATA))
    return {bytes.fromhex(name): size for name, size in items if is_id(name)}
