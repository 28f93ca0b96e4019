"""A worker of a copy: opens blobs with one key, proves them, and seals them with another one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import zstandard

from protectd.common.errors import Cancelled
from protectd.common.units import MIB
from protectd.plugin.base import BankObjectNotFound, BankPlugin
from protectd.vault.crew import work
from protectd.vault.crypto import MasterKey, Sealer
from protectd.vault.errors import FormatError, UnitDamaged
from protectd.vault.pack import DATA, TREE, BlobEntry, decompress, pack_key
from protectd.vault.packer import Packer, StoredPack
from protectd.vault.pool import Channel, Pool
from protectd.vault.presence import refuse_short
from protectd.vault.shared import CancelFlag, Pages

_BUFFER_BYTES = 32 * MIB
TREE_PACK_BYTES = 4 * MIB

Plain = tuple[Any, ...]


class CopyJob(NamedTuple):
    """Blobs of one pack by offset; `entries` are those of BlobEntry."""

    pack_id: bytes
    entries: Sequence[Plain]


class CopyReply(NamedTuple):
    """`bad` blobs could not be read: number in the job, and why. `packs` have become durable meanwhile."""

    bad: list[tuple[int, str]]
    packs: list[StoredPack]


class CopyRest(NamedTuple):
    """What a worker still holds of one kind at the end."""

    packs: list[StoredPack]
    header: bytes
    units: bytes


@dataclass(frozen=True)
class CopyWorker:
    """Role of one worker."""

    source_bank: BankPlugin
    source_key: MasterKey
    target_bank: BankPlugin
    target_key: MasterKey
    pack_bytes: int
    level: int
    cancel: str = ""

    def run(self, channel: Channel, pool: Pool) -> Any:
        return work(_Copier(self), channel)

    def packer(self, kind: str) -> Packer:
        """Of the target. Packs of trees are small: whoever looks for one tree fetches its whole pack."""
        size = self.pack_bytes if kind == DATA else min(self.pack_bytes, TREE_PACK_BYTES)
        sealer = Sealer(self.target_key)
        return Packer(self.target_bank, sealer, kind=kind, pack_bytes=size, level=self.level)


class _Copier:
    def __init__(self, role: CopyWorker) -> None:
        self._bank = role.source_bank
        self._cancel = CancelFlag.attach(role.cancel)
        self._source = Sealer(role.source_key)
        self._target = Sealer(role.target_key)
        self._decompressor = zstandard.ZstdDecompressor()
        self._packers = {kind: role.packer(kind) for kind in (DATA, TREE)}
        self._read = Pages(_BUFFER_BYTES)
        self._unit = bytearray(MIB)

    def handle(self, job: CopyJob) -> CopyReply:
        pack_id, plain = job
        entries = list(map(BlobEntry._make, plain))
        stretch, start = self._fetch(pack_id, entries), entries[0].offset
        bad = []
        for number, entry in enumerate(entries):
            if self._cancel.is_set():
                raise Cancelled
            unit = stretch[entry.offset - start : entry.offset - start + entry.length]
            try:
                self._seal(entry, self._open(entry, unit))
            except (UnitDamaged, FormatError) as error:
                bad.append((number, f"{pack_key(pack_id)}: {error}"))
        return CopyReply(bad, [pack for each in self._packers.values() for pack in each.take_stored()])

    def _fetch(self, pack_id: bytes, entries: Sequence[BlobEntry]) -> memoryview:
        """From the first blob to the last, with one read; short where the pack is."""
        start = entries[0].offset
        length = entries[-1].offset + entries[-1].length - start
        buffer = self._read.view if length <= _BUFFER_BYTES else memoryview(bytearray(length))
        try:
            read = self._bank.read_into(pack_key(pack_id), buffer[:length], start)
        except BankObjectNotFound:
            return buffer[:0]
        if read < length:
            refuse_short(self._bank, pack_key(pack_id), start, read, length)
        return buffer[:read]

    def _open(self, entry: BlobEntry, unit: memoryview) -> bytes:
        """What was sealed, compressed or not: it holds the blob of this id."""
        frame = self._source.open(unit)
        plain = frame
        if entry.plain_length is not None:
            plain = decompress(self._decompressor, frame, entry.plain_length)
        if hashlib.sha256(plain).digest() != entry.id:
            raise FormatError(reason="its content has another hash")
        return frame

    def _seal(self, entry: BlobEntry, frame: bytes) -> None:
        if len(self._unit) < entry.length:
            self._unit = bytearray(entry.length)
        length = self._target.seal_into(frame, memoryview(self._unit))
        self._packers[entry.kind].add_sealed(entry, memoryview(self._unit)[:length])

    def finish(self) -> dict[str, CopyRest]:
        for packer in self._packers.values():
            packer.settle()
        return {
            kind: CopyRest(packer.take_stored(), *packer.leftover()) for kind, packer in self._packers.items()
        }

    def close(self) -> None:
        for packer in self._packers.values():
            packer.close()
        self._read.close()
        self._cancel.close()
