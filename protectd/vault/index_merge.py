"""Many index files as one table in the order of blob ids, with little more memory than the table takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from protectd.vault.index_files import IndexPart

Numbers = npt.NDArray[Any]
Rows = npt.NDArray[np.intp]


class Table(NamedTuple):
    """Row i is one copy of one blob, in the pack `pack_ids[packs[i]]`; sorted by id, kind, pack, offset."""

    pack_ids: list[bytes]
    heads: npt.NDArray[np.uint64]
    """The first 8 bytes of each id, as a number whose order is that of the bytes."""
    tails: npt.NDArray[np.uint8]
    """Shape (n, 24): the rest."""
    packs: npt.NDArray[np.uint32]
    kinds: npt.NDArray[np.uint8]
    numbers: npt.NDArray[np.uint32]
    """Shape (n, 3): offset, length, plain length."""


def merge(parts: Iterable[IndexPart]) -> Table:
    """All parts in one, packs numbered anew; a pack that several parts list with equal entries counts once.

    A part may be dropped as soon as the next is asked for. Takes about 80 bytes a blob at its height and
    leaves 49.
    """
    return _Gathered(parts).table()


class _Gathered:
    """Columns in pieces, in the order in which they came."""

    def __init__(self, parts: Iterable[IndexPart]) -> None:
        places: dict[bytes, int] = {}
        listed = 0
        self._heads: list[Numbers] = [np.empty(0, np.uint64)]
        self._tails: list[Numbers] = [np.empty((0, 24), np.uint8)]
        self._packs: list[Numbers] = [np.empty(0, np.uint32)]
        self._kinds: list[Numbers] = [np.empty(0, np.uint8)]
        self._numbers: list[Numbers] = [np.empty((0, 3), np.uint32)]
        for part in parts:
            here = [places.setdefault(pack_id, len(places)) for pack_id in part.pack_ids]
            listed += len(here)
            self._heads.append(big_words(part.ids[:, :8]))
            self._tails.append(part.ids[:, 8:].copy())
            self._packs.append(np.array(here, np.uint32)[part.packs])
            self._kinds.append(part.kinds)
            self._numbers.append(part.numbers)
        self._pack_ids = list(places)
        self._repeated = listed != len(places)

    def table(self) -> Table:
        """Column by column, so that never more than one of them is there twice. Uses the pieces up."""
        heads, packs, kinds, numbers = map(_joined, (self._heads, self._packs, self._kinds, self._numbers))
        order = self._order(heads, packs, kinds, numbers)
        heads, packs, kinds, numbers = heads[order], packs[order], kinds[order], numbers[order]
        places = np.full(sum(map(len, self._tails)), -1, np.int32 if len(order) < 1 << 31 else np.int64)
        places[order] = np.arange(len(order))
        del order
        return Table(
            self._pack_ids, heads, _scattered(self._tails, places, len(heads)), packs, kinds, numbers
        )

    def _order(self, heads: Numbers, packs: Numbers, kinds: Numbers, numbers: Numbers) -> Rows:
        """Nearly all ids differ in their heads: only rows that agree there are looked at further."""
        order = np.argsort(heads, kind="stable")
        same = heads[order[1:]] == heads[order[:-1]]
        tied = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
        if not len(tied):
            return order
        rows = order[tied]
        tails = self._tails_at(rows)
        words = [big_words(tails[:, start : start + 8]) for start in (16, 8, 0)]
        keys = (numbers[rows, 0], packs[rows], kinds[rows], *words, heads[rows])
        sorting = np.lexsort(keys)
        rows, tails = rows[sorting], tails[sorting]
        order[tied] = rows
        return self._without_repeats(order, tied, tails, heads, packs, kinds, numbers)

    def _without_repeats(self, order: Rows, tied: Rows, tails: Numbers, *columns: Numbers) -> Rows:
        """One of each set of rows that are equal in every column; equal rows stand side by side."""
        if not self._repeated:
            return order
        rows = order[tied]
        equal = (tails[1:] == tails[:-1]).all(axis=1)
        for column in columns:
            same = column[rows[1:]] == column[rows[:-1]]
            equal &= same if same.ndim == 1 else same.all(axis=1)
        return np.delete(order, tied[1:][equal])

    def _tails_at(self, rows: Rows) -> Numbers:
        ends = np.cumsum([len(piece) for piece in self._tails])
        found = np.empty((len(rows), 24), np.uint8)
        pieces = np.searchsorted(ends, rows, side="right")
        for number in np.unique(pieces):
            chosen = pieces == number
            start = ends[number] - len(self._tails[number])
            found[chosen] = self._tails[number][rows[chosen] - start]
        return found


def big_words(octets: Numbers) -> npt.NDArray[np.uint64]:
    """Numbers that sort as these rows of 8 bytes do."""
    return np.ascontiguousarray(octets).view(">u8").reshape(len(octets)).astype(np.uint64)


def _joined(pieces: list[Numbers]) -> Numbers:
    """The pieces in one; they are used up."""
    joined = np.concatenate(pieces)
    pieces.clear()
    return joined


def _scattered(pieces: list[Numbers], places: Sequence[int] | Numbers, count: int) -> Numbers:
    """Each row of the pieces at its place, those with a negative one left out. Uses the pieces up."""
    whole = np.empty((count, 24), np.uint8)
    start = 0
    while pieces:
        piece = pieces.pop(0)
        here = np.asarray(places[start : start + len(piece)])
        kept = here >= 0
        whole[here[kept]] = piece[kept]
        start += len(piece)
    return whole
