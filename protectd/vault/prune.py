"""Give back what no snapshot needs. The caller holds the exclusive lock.

The order keeps every instant true: new packs, new index files, then the old index files go, then the old
packs. Whoever is killed in between leaves rubbish that the next prune removes, never a lie.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from protectd.common.progress import Counts, Progress
from protectd.common.reports import PruneReport
from protectd.common.units import MIB
from protectd.vault.check_packs import stored_packs
from protectd.vault.errors import BlobMissing
from protectd.vault.index import BlobIndex, IndexPart, Rows, encode_index
from protectd.vault.pack import DATA, TREE, BlobEntry, open_blob, pack_key, seal_header
from protectd.vault.prune_plan import PACK_BYTES, Plan, make_plan
from protectd.vault.repository import INDEX, BlobReader, Repository
from protectd.vault.walk import Visit, walk

TREE_PACK_BYTES = 4 * MIB
_SMALL_INDEX_BLOBS = 5_000
_MANY_SMALL_INDEXES = 16


def prune(
    repository: Repository,
    progress: Progress | None = None,
    *,
    check_lock: Callable[[], None] = lambda: None,
    pack_bytes: int = PACK_BYTES,
) -> PruneReport:
    """Remove packs that no snapshot needs, rewrite those that are partly unused, and mend the index.

    Safe to repeat, and to kill at any instant.

    :param check_lock: called before anything is removed; raises when the lock was lost.
    :raises VaultDamaged: a snapshot, an index or a tree does not read, or a needed blob is missing: nothing
        was removed then.
    """
    progress = progress or Progress()
    files = repository.index_files()
    index = BlobIndex(files.values())
    used = used_rows(repository, index, progress)
    plan = make_plan(index, used, stored_packs(repository.bank), pack_bytes)
    written = _repack(repository, index, plan, progress, pack_bytes)
    check_lock()
    _mend_index(repository, files, plan, written)
    check_lock()
    _remove_packs(repository, plan, progress)
    return _report(plan, written)


# --- what is used ---


def used_rows(repository: Repository, index: BlobIndex, progress: Progress) -> Rows:
    """First rows of all blobs that snapshots lead to.

    :raises BlobMissing: one of them is in no index.
    """
    roots = [(snapshot.id, snapshot.tree_id) for snapshot in repository.snapshots()]
    used: list[Rows] = [np.empty(0, np.intp)]
    trees: list[bytes] = []
    for done, visit in enumerate(walk(BlobReader(repository, index), roots), 1):
        progress.check()
        if done % 256 == 0:
            progress.report(Counts("trees", done_files=done))
        trees.append(visit.tree_id)
        used.append(_used_by(index, visit))
    return np.unique(np.concatenate([*used, index.rows_of(TREE, trees)]))


def _used_by(index: BlobIndex, visit: Visit) -> Rows:
    if visit.error is not None:
        raise visit.error
    ids = [blob_id for node in visit.nodes for blob_id in node.content or ()]
    rows = index.rows_of(DATA, ids)
    if (rows < 0).any():
        missing = ids[int(np.argmax(rows < 0))].hex()
        raise BlobMissing(object=f"data blob {missing}", reason=f"{visit} needs it; nothing was removed")
    return rows


# --- carrying it out ---


class _Packer:
    """Fills packs with sealed blobs and stores each when it is full."""

    def __init__(self, repository: Repository, pack_bytes: int) -> None:
        self._repository = repository
        self._pack_bytes = pack_bytes
        self._units = bytearray()
        self._entries: list[BlobEntry] = []
        self.written: dict[bytes, list[BlobEntry]] = {}
        self.written_bytes = 0

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
        self.written_bytes += len(self._units)
        self._units, self._entries = bytearray(), []


@dataclass(frozen=True, slots=True)
class _Written:
    packs: Mapping[bytes, list[BlobEntry]]
    bytes: int


def _repack(
    repository: Repository, index: BlobIndex, plan: Plan, progress: Progress, pack_bytes: int
) -> _Written:
    """Copy what is kept of the packs that go. Each blob is proven; its unit is copied as it is, for a unit
    holds nothing of its place."""
    packers = {
        DATA: _Packer(repository, pack_bytes),
        TREE: _Packer(repository, min(pack_bytes, TREE_PACK_BYTES)),
    }
    total = sum(plan.sizes[pack_id] for pack_id in plan.repack)
    done = 0
    for pack_id, entries in _kept_entries(index, plan):
        progress.check()
        pack = memoryview(repository.bank.get(pack_key(pack_id)))
        for entry in entries:
            unit = pack[entry.offset : entry.offset + entry.length]
            open_blob(repository.sealer, repository.decompressor, entry, unit)
            packers[entry.kind].add(entry, unit)
        done += len(pack)
        progress.report(Counts("repack", done_bytes=done, total_bytes=total))
    for packer in packers.values():
        packer.flush()
    packs = {pack_id: each for packer in packers.values() for pack_id, each in packer.written.items()}
    return _Written(packs, sum(packer.written_bytes for packer in packers.values()))


def _kept_entries(index: BlobIndex, plan: Plan) -> Iterable[tuple[bytes, list[BlobEntry]]]:
    return index.each_pack(plan.repack, np.flatnonzero(plan.kept_rows))


def _mend_index(
    repository: Repository, files: Mapping[str, IndexPart], plan: Plan, written: _Written
) -> None:
    """Write the new index files, then remove the old ones that name a pack which goes."""
    outdated = _outdated_files(files, plan)
    gone = plan.repack | plan.drop
    packs = {
        pack_id: entries
        for pack_id, entries in BlobIndex(files[name] for name in outdated).each_pack()
        if pack_id not in gone and pack_id in plan.sizes
    }
    for json in encode_index({**packs, **written.packs}):
        repository.save_unpacked(INDEX, json)
    for name in outdated:
        repository.bank.delete(f"{INDEX}/{name}")


def _outdated_files(files: Mapping[str, IndexPart], plan: Plan) -> list[str]:
    """Files that name a pack which goes or is missing, or one that another file names too; and small files
    when there are many."""
    going = plan.repack | plan.drop
    times = Counter(pack_id for part in files.values() for pack_id in part.pack_ids)
    outdated = {
        name
        for name, part in files.items()
        if any(each in going or each not in plan.sizes or times[each] > 1 for each in part.pack_ids)
    }
    small = {name for name, part in files.items() if len(part.ids) < _SMALL_INDEX_BLOBS}
    return sorted(outdated | small if len(small) > _MANY_SMALL_INDEXES else outdated)


def _remove_packs(repository: Repository, plan: Plan, progress: Progress) -> None:
    going = sorted(plan.repack | plan.drop)
    for done, pack_id in enumerate(going, 1):
        progress.check()
        repository.bank.delete(pack_key(pack_id))
        progress.report(Counts("remove", done_files=done, total_files=len(going)))


def _report(plan: Plan, written: _Written) -> PruneReport:
    removed = sum(plan.sizes[pack_id] for pack_id in plan.repack | plan.drop)
    return PruneReport(
        removed_packs=len(plan.drop),
        repacked_packs=len(plan.repack),
        freed_bytes=removed - written.bytes,
        kept_bytes=sum(plan.sizes.values()) - removed + written.bytes,
    )
