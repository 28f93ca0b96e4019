"""Give back what no snapshot needs. The caller holds the exclusive lock.

The order keeps every instant true: new packs, new index files, then the old index files go, then the old
packs. Whoever is killed in between leaves rubbish that the next prune removes, never a lie.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from protectd.common.progress import Counts, Progress
from protectd.common.reports import PruneReport
from protectd.common.units import MIB
from protectd.vault.check import mixed_packs, stored_packs
from protectd.vault.errors import BlobMissing
from protectd.vault.index import BlobIndex, IndexPart, Rows, encode_index
from protectd.vault.pack import BlobEntry, open_blob, pack_key, seal_header
from protectd.vault.repository import INDEX, BlobReader, Repository
from protectd.vault.walk import Visit, walk

PACK_BYTES = 16 * MIB
TREE_PACK_BYTES = 4 * MIB
_SMALL_PART = 5
_UNUSED_SHARE = 0.05
_CHEAP_BYTES = 64 * MIB
"""So much may be rewritten for the sake of smaller shares than that."""
_MANY_SMALL = 10
_SMALL_INDEX_BLOBS = 5_000
_MANY_SMALL_INDEXES = 16


Numbers = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a prune does. Rows are those of the index, packs are ids."""

    kept_rows: npt.NDArray[np.bool_]
    """One copy of each used blob."""
    repack: frozenset[bytes]
    drop: frozenset[bytes]
    """Packs that go without being read: wholly unused, or not indexed."""
    sizes: Mapping[bytes, int]
    """Of all packs in the bank, bytes."""


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
    for done, visit in enumerate(walk(BlobReader(repository, index), roots), 1):
        progress.check()
        if done % 256 == 0:
            progress.report(Counts("trees", done_files=done))
        used.append(_used_by(index, visit))
    return np.unique(np.concatenate(used))


def _used_by(index: BlobIndex, visit: Visit) -> Rows:
    if visit.error is not None:
        raise visit.error
    ids = [blob_id for node in visit.nodes for blob_id in node.content or ()]
    rows = np.concatenate([index.rows_of("data", ids), index.rows_of("tree", [visit.tree_id])])
    if (rows[:-1] < 0).any():
        missing = ids[int(np.argmax(rows < 0))].hex()
        raise BlobMissing(object=f"data blob {missing}", reason=f"{visit} needs it; nothing was removed")
    return rows


# --- the plan ---


def make_plan(index: BlobIndex, used: Rows, sizes: Mapping[bytes, int], pack_bytes: int = PACK_BYTES) -> Plan:
    """Decide for each pack. :param sizes: of the packs in the bank, bytes.

    :raises BlobMissing: a used blob lies only in packs that are missing or have a wrong size.
    """
    kept = _choose_copies(index, used, _good_packs(index, sizes))
    _, packs, _, lengths = index.columns()
    count = len(index.pack_ids)
    kept_bytes = np.bincount(packs, np.where(kept, lengths, 0), count)
    unused_bytes = np.bincount(packs, np.where(kept, 0, lengths), count)
    small = _small_packs(index, kept_bytes, pack_bytes // _SMALL_PART)
    repack = _choose_packs(index, kept_bytes, unused_bytes, small)
    needed = {index.pack_ids[number] for number in np.flatnonzero(kept_bytes > 0)}
    drop = sizes.keys() - needed
    return Plan(kept, frozenset(index.pack_ids[number] for number in repack), frozenset(drop), sizes)


def _good_packs(index: BlobIndex, sizes: Mapping[bytes, int]) -> npt.NDArray[np.bool_]:
    expected = index.pack_sizes()
    good = (sizes.get(pack_id) == expected[pack_id] for pack_id in index.pack_ids)
    return np.fromiter(good, np.bool_, len(index.pack_ids))


def _choose_copies(index: BlobIndex, used: Rows, good: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Of each used blob one copy: that in the good pack with the most used bytes."""
    groups, packs, _, lengths = index.columns()
    wanted = np.isin(groups, groups[used])
    weight = np.bincount(packs, np.where(wanted, lengths, 0), len(index.pack_ids))
    candidates = np.flatnonzero(wanted & good[packs]) if len(packs) else np.empty(0, np.intp)
    best_first = candidates[np.lexsort((packs[candidates], -weight[packs[candidates]], groups[candidates]))]
    _, first = np.unique(groups[best_first], return_index=True)
    kept = np.zeros(len(index), np.bool_)
    kept[best_first[first]] = True
    _refuse_missing(index, np.setdiff1d(groups[used], groups[kept]))
    return kept


def _refuse_missing(index: BlobIndex, missing_groups: Rows) -> None:
    if len(missing_groups):
        row = int(np.searchsorted(index.columns()[0], missing_groups[0]))
        pack_id, entry = index.entry_at(row)
        reason = (
            f"{pack_key(pack_id)} is missing or has a wrong size, and {len(missing_groups)} needed blob(s)"
        )
        raise BlobMissing(object=str(entry), reason=f"{reason} with it; nothing was removed")


def _choose_packs(
    index: BlobIndex, kept_bytes: Numbers, unused_bytes: Numbers, small: npt.NDArray[np.bool_]
) -> Rows:
    """Numbers of the packs worth a rewrite: those with a good part unused, mixed ones, many small ones, and,
    as long as it is cheap, any with something unused in it."""
    used = kept_bytes > 0
    share = unused_bytes / np.maximum(kept_bytes + unused_bytes, 1)
    chosen = used & (share > _UNUSED_SHARE)
    chosen[mixed_packs(index)] |= used[mixed_packs(index)]
    chosen |= small
    rest = np.flatnonzero(used & ~chosen & (unused_bytes > 0))
    rest = rest[np.argsort(-share[rest], kind="stable")]
    chosen[rest[np.cumsum(kept_bytes[rest]) <= _CHEAP_BYTES]] = True
    return np.flatnonzero(chosen)


def _small_packs(index: BlobIndex, kept_bytes: Numbers, limit_bytes: int) -> npt.NDArray[np.bool_]:
    """Small packs of one kind, where there are ten or more of it: together they make few large ones."""
    _, packs, kinds, _ = index.columns()
    trees = np.bincount(packs, kinds, len(index.pack_ids)) > 0
    small = (kept_bytes > 0) & (kept_bytes < limit_bytes)
    chosen = np.zeros(len(small), np.bool_)
    for kind in (small & trees, small & ~trees):
        if kind.sum() >= _MANY_SMALL:
            chosen |= kind
    return chosen


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
        "data": _Packer(repository, pack_bytes),
        "tree": _Packer(repository, min(pack_bytes, TREE_PACK_BYTES)),
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
