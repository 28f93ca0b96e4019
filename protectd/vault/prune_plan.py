"""What a prune will do, from the index alone: which copies stay, which packs are written anew, which go."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from protectd.common.units import MIB
from protectd.vault.check_packs import mixed_packs
from protectd.vault.errors import BlobMissing
from protectd.vault.index import BlobIndex, Rows
from protectd.vault.pack import pack_key

PACK_BYTES = 16 * MIB
_SMALL_PART = 5
_UNUSED_SHARE = 0.05
_CHEAP_BYTES = 64 * MIB
"""So much may be rewritten for the sake of smaller shares than that."""
_MANY_SMALL = 10


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


def make_plan(
    index: BlobIndex,
    used: Rows,
    sizes: Mapping[bytes, int],
    pack_bytes: int = PACK_BYTES,
    leaving: Collection[bytes] = frozenset(),
) -> Plan:
    """Decide for each pack. :param sizes: of the packs in the bank, bytes.

    :param leaving: packs that an earlier prune has marked: any other copy is preferred to one there.
    :raises BlobMissing: a used blob lies only in packs that are missing or have a wrong size.
    """
    kept = _choose_copies(index, used, _good_packs(index, sizes), leaving)
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


def _choose_copies(
    index: BlobIndex, used: Rows, good: npt.NDArray[np.bool_], leaving: Collection[bytes]
) -> npt.NDArray[np.bool_]:
    """Of each used blob one copy: that in the good pack with the most used bytes."""
    groups, packs, _, lengths = index.columns()
    wanted = np.isin(groups, groups[used])
    weight = np.bincount(packs, np.where(wanted, lengths, 0), len(index.pack_ids))
    candidates = np.flatnonzero(wanted & good[packs]) if len(packs) else np.empty(0, np.intp)
    marked = np.array([pack_id in leaving for pack_id in index.pack_ids], np.bool_)
    places = packs[candidates]
    best_first = candidates[np.lexsort((places, -weight[places], marked[places], groups[candidates]))]
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
