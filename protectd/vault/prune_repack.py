"""Writing packs anew without what nobody needs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from protectd.common.progress import Counts, Progress
from protectd.common.units import MIB
from protectd.vault.index import BlobIndex
from protectd.vault.pack import DATA, TREE, BlobEntry, open_blob, pack_key, seal_header
from protectd.vault.presence import confirm_stored, refuse_short
from protectd.vault.prune_plan import Plan
from protectd.vault.repository import Repository

TREE_PACK_BYTES = 4 * MIB


class _Packer:
    """Fills packs with sealed blobs and stores each when it is full."""

    def __init__(self, repository: Repository, pack_bytes: int) -> None:
        self._repository = repository
        self._pack_bytes = pack_bytes
        self._units = bytearray()
        self._entries: list[BlobEntry] = []
        self.written: dict[bytes, list[BlobEntry]] = {}
        self.sizes: dict[str, int] = {}

    def add(self, entry: BlobEntry, unit: bytes | memoryview) -> None:
        self._entries.append(entry._replace(offset=len(self._units)))
        self._units += unit
        if len(self._units) >= self._pack_bytes:
            self.flush()

    def flush(self) -> None:
        if not self._entries:
            return
        self._units += seal_header(self._repository.sealer, self._entries)
        pack_id = hashlib.sha256(self._units).digest()
        self._repository.bank.put(pack_key(pack_id), self._units)
        self.written[pack_id] = self._entries
        self.sizes[pack_key(pack_id)] = len(self._units)
        self._units, self._entries = bytearray(), []


@dataclass(frozen=True, slots=True)
class Written:
    """New packs with their entries; durable, and in no index yet."""

    packs: Mapping[bytes, list[BlobEntry]]
    bytes: int


def repack(
    repository: Repository, index: BlobIndex, plan: Plan, progress: Progress, pack_bytes: int
) -> Written:
    """Copy what is kept of the packs that go. Each blob is proven; its unit is copied as it is, for a unit
    holds nothing of its place.

    :raises WriteLost: the bank does not have a pack that it took.
    """
    packers = {
        DATA: _Packer(repository, pack_bytes),
        TREE: _Packer(repository, min(pack_bytes, TREE_PACK_BYTES)),
    }
    total = sum(plan.sizes[pack_id] for pack_id in plan.repack)
    done = 0
    for pack_id, entries in _kept_entries(index, plan):
        progress.check()
        pack = memoryview(repository.bank.get(pack_key(pack_id)))
        if len(pack) < plan.sizes[pack_id]:
            refuse_short(repository.bank, pack_key(pack_id), 0, len(pack))
        for entry in entries:
            unit = pack[entry.offset : entry.offset + entry.length]
            open_blob(repository.sealer, repository.decompressor, entry, unit)
            packers[entry.kind].add(entry, unit)
        done += len(pack)
        progress.report(Counts("repack", done_bytes=done, total_bytes=total))
    for packer in packers.values():
        packer.flush()
        confirm_stored(repository.bank, packer.sizes)
    packs = {pack_id: each for packer in packers.values() for pack_id, each in packer.written.items()}
    return Written(packs, sum(sum(packer.sizes.values()) for packer in packers.values()))


def _kept_entries(index: BlobIndex, plan: Plan) -> Iterable[tuple[bytes, list[BlobEntry]]]:
    return index.each_pack(plan.repack, np.flatnonzero(plan.kept_rows))
