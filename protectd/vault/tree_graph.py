"""Every tree that snapshots lead to, as columns: each is read once, then questions are arithmetic.

Costs 4 bytes for each reference in a tree (one for each blob of a file, one for each directory).
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from protectd.common.errors import ProtectdError
from protectd.plugin.base import BankRefused
from protectd.vault.errors import FormatError, VaultDamaged
from protectd.vault.index import BlobIndex, Rows
from protectd.vault.opening import shown
from protectd.vault.pack import DATA, TREE
from protectd.vault.references import References, tree_references
from protectd.vault.repository import BlobReader

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Reach:
    """What some roots lead to: `trees` by number, `rows` of the index; and what is wrong on the way."""

    trees: Mask
    rows: Mask
    faults: list[str]


@dataclass(slots=True)
class _Visit:
    """A tree on the way: first read, then numbered when all below it are."""

    tree_id: bytes
    row: int
    path: bytes
    data: Rows | None = None
    subtrees: Rows | None = None
    files: int = 0
    logical_bytes: int = 0
    fault: str = ""


class TreeGraph:
    """Trees by number, those below a tree before it. A tree that does not read leads nowhere and has a fault.

    :ivar numbers: of each row of the index, the number of the tree that lies there, or -1.
    """

    def __init__(self, reader: BlobReader, tick: Callable[[int], None] = lambda trees: None) -> None:
        """:param tick: called with the number of trees read so far, before each; may raise."""
        self.index: BlobIndex = reader.index
        self.numbers = np.full(len(reader.index), -1, np.int32)
        self._reader = reader
        self._tick = tick
        self._reads = 0
        self._rows = array("q")
        self._files = array("q")
        self._bytes = array("q")
        self._data = _Lists()
        self._children = _Lists()
        self._faults: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, tree_id: bytes, snapshot_id: str) -> int:
        """Read what a root leads to and is not known yet; the root's number."""
        row = int(self.index.rows_of(TREE, [tree_id])[0])
        if row >= 0 and self.numbers[row] >= 0:
            return int(self.numbers[row])
        stack = [_Visit(tree_id, row, b"/")]
        while stack:
            visit = stack.pop()
            if visit.data is not None:
                self._number(visit)
            elif visit.row < 0 or self.numbers[visit.row] < 0:
                self._tick(self._reads)
                self._reads += 1
                stack += [visit, *self._read(visit, snapshot_id)]
        return len(self) - 1

    def _read(self, visit: _Visit, snapshot_id: str) -> list[_Visit]:
        """Fill a visit; those of its directories that have no number yet."""
        found = References([], [], 0, 0)
        try:
            found = tree_references(self._reader.load(TREE, visit.tree_id))
        except (VaultDamaged, FormatError, BankRefused) as error:
            visit.fault = _fault(visit, snapshot_id, error)
        ids = [tree_id for _, tree_id in found.subtrees]
        rows = self.index.rows_of(TREE, ids)
        data = self.index.rows_of(DATA, found.data)
        visit.fault = visit.fault or _missing(visit, snapshot_id, found, rows, data)
        visit.files, visit.logical_bytes = found.files, found.logical_bytes
        visit.data, visit.subtrees = data[data >= 0], rows[rows >= 0]
        return [
            _Visit(tree_id, row, os.path.join(visit.path, name))
            for (name, tree_id), row in zip(found.subtrees, rows.tolist(), strict=True)
            if row >= 0 and self.numbers[row] < 0
        ]

    def _number(self, visit: _Visit) -> None:
        assert visit.data is not None and visit.subtrees is not None
        number = len(self)
        self._rows.append(visit.row)
        self._files.append(visit.files)
        self._bytes.append(visit.logical_bytes)
        self._data.append(visit.data)
        self._children.append(self.numbers[visit.subtrees])
        if visit.row >= 0:
            self.numbers[visit.row] = number
        if visit.fault:
            self._faults[number] = visit.fault

    # --- questions ---

    def reach(self, roots: Iterable[int]) -> Reach:
        """All that these trees lead to, themselves included."""
        trees = np.zeros(len(self), np.bool_)
        front = np.unique(np.fromiter(roots, np.int64))
        while len(front):
            trees[front] = True
            inner = np.unique(self._children.of(front))
            front = inner[~trees[inner]]
        reached = np.flatnonzero(trees)
        rows = np.zeros(len(self.index), np.bool_)
        rows[self._data.of(reached)] = True
        at = np.frombuffer(self._rows, np.int64)[reached] if len(self) else reached
        rows[at[at >= 0]] = True
        return Reach(trees, rows, [self._faults[number] for number in sorted(self._faults) if trees[number]])

    def totals(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Files and their bytes below each tree, as often as it holds them."""
        files, sizes = np.array(self._files, np.int64), np.array(self._bytes, np.int64)
        for number in range(len(self)):
            inner = self._children.of(np.array([number]))
            files[number] += files[inner].sum()
            sizes[number] += sizes[inner].sum()
        return files, sizes


class _Lists:
    """Lists of small numbers, one after the other."""

    def __init__(self) -> None:
        self._items = array("I")
        self._ends = array("q", [0])

    def append(self, items: npt.NDArray[Any]) -> None:
        self._items.frombytes(items.astype(np.uint32).tobytes())
        self._ends.append(len(self._items))

    def of(self, numbers: npt.NDArray[Any]) -> Rows:
        """All items of these lists."""
        ends = np.frombuffer(self._ends, np.int64)
        starts = ends[numbers]
        lengths = ends[numbers + 1] - starts
        before = np.cumsum(lengths) - lengths
        places = np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))
        return np.frombuffer(self._items, np.uint32)[places].astype(np.intp) if len(places) else places


def _fault(visit: _Visit, snapshot_id: str, error: ProtectdError) -> str:
    return f"{_place(visit, snapshot_id)}: {error}"


def _missing(visit: _Visit, snapshot_id: str, found: References, trees: Rows, data: Rows) -> str:
    """What a tree refers to and no index knows; "" when all is there."""
    for kind, ids, rows in ((TREE, [each for _, each in found.subtrees], trees), (DATA, found.data, data)):
        lost = np.flatnonzero(rows < 0)
        if len(lost):
            first = ids[int(lost[0])].hex()
            return f"{_place(visit, snapshot_id)}: no index knows {len(lost)} {kind} blob(s), first {first}"
    return ""


def _place(visit: _Visit, snapshot_id: str) -> str:
    return f"directory {shown(visit.path)!r} of snapshot {snapshot_id} (tree {visit.tree_id.hex()})"
