"""The index: which pack holds which blob. As JSON in files, and compact in memory."""

from __future__ import annotations

import copy
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from protectd.vault.crypto import OVERHEAD_BYTES
from protectd.vault.index_files import (
    KIND_NUMBERS,
    KINDS,
    MAX_BLOBS,
    STORED_PLAIN,
    IndexPart,
    Packs,
    decode_part,
    encode_index,
    part_of,
)
from protectd.vault.index_merge import Rows, big_words, merge
from protectd.vault.pack import (
    COMPRESSED_ENTRY_BYTES,
    PACK_OVERHEAD_BYTES,
    PLAIN_ENTRY_BYTES,
    BlobEntry,
)

__all__ = [
    "MAX_BLOBS",
    "BlobIndex",
    "Columns",
    "IndexPart",
    "KnownBlobs",
    "PackRows",
    "Packs",
    "Rows",
    "decode_index",
    "decode_part",
    "encode_index",
    "part_of",
]


class Columns(NamedTuple):
    """Entries as bytes, to be handed to another process at a fraction of their own cost. `numbers`: offset,
    length and plain length (or STORED_PLAIN) of each."""

    ids: bytes
    kinds: bytes
    numbers: bytes

    def entries(self) -> list[BlobEntry]:
        numbers = np.frombuffer(self.numbers, np.uint32).reshape(-1, 3).tolist()
        return [
            BlobEntry(
                KINDS[kind],
                self.ids[place : place + 32],
                offset,
                length,
                None if plain == STORED_PLAIN else plain,
            )
            for place, kind, (offset, length, plain) in zip(
                range(0, len(self.ids), 32), self.kinds, numbers, strict=True
            )
        ]


class BlobIndex:
    """Every copy of every blob, 49 bytes each, sorted by id. Immutable, picklable, safe from any thread.

    A blob may have several copies; a pack that several files list with equal entries counts once.
    """

    def __init__(self, parts: Iterable[IndexPart]) -> None:
        self.pack_ids, self._heads, self._tails, self._packs, self._kinds, self._numbers = merge(parts)

    @classmethod
    def of(cls, packs: Packs) -> BlobIndex:
        return cls([part_of(packs)])

    def __len__(self) -> int:
        """Copies, not different blobs."""
        return len(self._heads)

    def __contains__(self, key: tuple[str, bytes]) -> bool:
        return self._find(*key) >= 0

    def lookup(self, kind: str, blob_id: bytes) -> tuple[bytes, BlobEntry] | None:
        """Pack and place of one copy."""
        row = self._find(kind, blob_id)
        return self._row(row) if row >= 0 else None

    def copies(self, kind: str, blob_id: bytes) -> list[tuple[bytes, BlobEntry]]:
        """Pack and place of each copy."""
        return [self._row(row) for row in self._rows(blob_id) if self._is(row, kind, blob_id)]

    def lookup_all(self, kind: str, ids: Sequence[bytes]) -> list[tuple[bytes, BlobEntry] | None]:
        """As `lookup` for many, at a fraction of the cost of each."""
        rows = self.rows_of(kind, ids)
        places: list[tuple[bytes, BlobEntry] | None] = [None] * len(ids)
        there = np.flatnonzero(rows >= 0)
        packs = self._packs[rows[there]].tolist()
        for number, pack, entry in zip(there.tolist(), packs, self.entries_at(rows[there]), strict=True):
            places[number] = self.pack_ids[pack], entry
        return places

    def __iter__(self) -> Iterator[tuple[bytes, BlobEntry]]:
        """All copies in order of their ids."""
        return map(self._row, range(len(self)))

    def packs(self) -> dict[bytes, list[BlobEntry]]:
        """Entries by pack, in file order. Costs some 400 bytes a blob while it is held."""
        found: dict[bytes, list[BlobEntry]] = {pack_id: [] for pack_id in self.pack_ids}
        found.update(self.each_pack())
        return found

    def each_pack(
        self, wanted: Collection[bytes] | None = None, rows: Rows | None = None
    ) -> Iterator[tuple[bytes, list[BlobEntry]]]:
        """Packs that have entries, one after the other, with their entries in file order.

        :param wanted: only these packs. :param rows: only these rows.
        """
        rows = np.arange(len(self)) if rows is None else rows
        order = rows[np.lexsort((self._numbers[rows, 0], self._packs[rows]))]
        starts = np.flatnonzero(np.diff(self._packs[order].astype(np.int64), prepend=-1)).tolist()
        for start, end in pairwise([*starts, len(order)]):
            pack_id = self.pack_ids[self._packs[order[start]]]
            if wanted is None or pack_id in wanted:
                yield pack_id, self.entries_at(order[start:end])

    def columns_at(self, rows: Rows) -> Columns:
        """What stands in these rows, in their order."""
        ids = np.empty((len(rows), 32), np.uint8)
        ids[:, :8] = self._heads[rows].astype(">u8").view(np.uint8).reshape(-1, 8)
        ids[:, 8:] = self._tails[rows]
        return Columns(ids.tobytes(), self._kinds[rows].tobytes(), self._numbers[rows].tobytes())

    def entries_at(self, rows: Rows) -> list[BlobEntry]:
        """The entries in these rows, in their order."""
        return self.columns_at(rows).entries()

    def pack_sizes(self) -> dict[bytes, int]:
        """How long each pack has to be when it holds exactly its entries. Bytes."""
        count = len(self.pack_ids)
        headers = np.where(self._numbers[:, 2] == STORED_PLAIN, PLAIN_ENTRY_BYTES, COMPRESSED_ENTRY_BYTES)
        sizes = np.bincount(self._packs, self._numbers[:, 1] + headers, count).astype(np.int64)
        return dict(zip(self.pack_ids, (sizes + PACK_OVERHEAD_BYTES).tolist(), strict=True))

    def blob_counts(self) -> dict[bytes, int]:
        """How many blobs each pack holds."""
        counts = np.bincount(self._packs, minlength=len(self.pack_ids))
        return dict(zip(self.pack_ids, counts.tolist(), strict=True))

    def rows_of(self, kind: str, ids: Sequence[bytes]) -> Rows:
        """Row of the first copy of each, -1 for a blob that is not there."""
        if not ids:
            return np.empty(0, np.intp)
        asked = np.frombuffer(b"".join(ids), np.uint8).reshape(len(ids), 32)
        heads = big_words(asked[:, :8])
        rows = np.searchsorted(self._heads, heads).astype(np.intp)
        there = np.minimum(rows, max(len(self) - 1, 0))
        if len(self):
            fits = (self._kinds[there] == KIND_NUMBERS[kind]) & (self._heads[there] == heads)
            fits &= (self._tails[there] == asked[:, 8:]).all(axis=1)
        else:
            fits = np.zeros(len(ids), np.bool_)
        for place in np.flatnonzero(~fits):  # missing, or a neighbor that shares its head with another
            rows[place] = self._find(kind, ids[int(place)])
        return rows

    def sizes_at(self, rows: Rows) -> npt.NDArray[np.int64]:
        """Plain bytes of the blobs in these rows."""
        numbers = self._numbers[rows].astype(np.int64)
        return np.where(numbers[:, 2] == STORED_PLAIN, numbers[:, 1] - OVERHEAD_BYTES, numbers[:, 2])

    def columns(self) -> tuple[Rows, npt.NDArray[np.uint32], npt.NDArray[np.uint8], npt.NDArray[np.uint32]]:
        """For arithmetic on all rows: group (copies of one blob share it; ascending), pack number, kind (1 is
        a tree), stored length."""
        same = (self._heads[1:] == self._heads[:-1]) & (self._kinds[1:] == self._kinds[:-1])
        same &= (self._tails[1:] == self._tails[:-1]).all(axis=1)
        groups = np.cumsum(np.concatenate([[False], ~same])) if len(self) else np.empty(0, np.intp)
        return groups.astype(np.intp), self._packs, self._kinds, self._numbers[:, 1]

    def offsets(self) -> npt.NDArray[np.uint32]:
        """Of all rows, within their packs."""
        return self._numbers[:, 0]

    def without(self, pack_ids: Collection[bytes]) -> BlobIndex:
        """All but what is in these packs."""
        return self._only(~self._rows_in(pack_ids)) if pack_ids else self

    def without_spare(self, pack_ids: Collection[bytes]) -> BlobIndex:
        """All but those copies in these packs that other packs have, too."""
        if not pack_ids:
            return self
        inside, groups = self._rows_in(pack_ids), self.columns()[0]
        elsewhere = np.zeros(len(self) + 1, np.bool_)
        elsewhere[groups[~inside]] = True
        return self._only(~inside | ~elsewhere[groups])

    def _rows_in(self, pack_ids: Collection[bytes]) -> npt.NDArray[np.bool_]:
        chosen = np.fromiter((pack_id in pack_ids for pack_id in self.pack_ids), np.bool_, len(self.pack_ids))
        return chosen[self._packs]

    def _only(self, rows: npt.NDArray[np.bool_]) -> BlobIndex:
        made = copy.copy(self)
        numbers = np.unique(self._packs[rows])
        made.pack_ids = [self.pack_ids[number] for number in numbers]
        made._packs = np.searchsorted(numbers, self._packs[rows]).astype(np.uint32)
        made._heads, made._tails = self._heads[rows], self._tails[rows]
        made._kinds, made._numbers = self._kinds[rows], self._numbers[rows]
        return made

    def entry_at(self, row: int) -> tuple[bytes, BlobEntry]:
        """Pack and place of one row."""
        return self._row(row)

    def known(self, kind: str) -> KnownBlobs:
        """The ids of one kind alone, for those who ask only whether a blob is there."""
        rows = self._kinds == KIND_NUMBERS[kind]
        return KnownBlobs(self._heads[rows], big_words(self._tails[rows, :8]))

    def _find(self, kind: str, blob_id: bytes) -> int:
        for row in self._rows(blob_id):
            if self._is(row, kind, blob_id):
                return row
        return -1

    def _rows(self, blob_id: bytes) -> Iterator[int]:
        """Rows whose id starts with the same 8 bytes."""
        head = int.from_bytes(blob_id[:8], "big")
        heads = self._heads.data  # plain numbers, which cost less than numpy's
        row = bisect_left(heads, head)
        while row < len(heads) and heads[row] == head:
            yield row
            row += 1

    def _is(self, row: int, kind: str, blob_id: bytes) -> bool:
        return bool(self._kinds[row] == KIND_NUMBERS[kind]) and self._tails[row].tobytes() == blob_id[8:]

    def _id(self, row: int) -> bytes:
        tail: bytes = self._tails[row].tobytes()
        return int(self._heads[row]).to_bytes(8, "big") + tail

    def _row(self, row: int) -> tuple[bytes, BlobEntry]:
        offset, length, plain = self._numbers[row].tolist()
        kind = KINDS[self._kinds[row]]
        entry = BlobEntry(kind, self._id(row), offset, length, None if plain == STORED_PLAIN else plain)
        return self.pack_ids[self._packs[row]], entry


class PackRows:
    """Where the entries of each pack stand in an index; 4 bytes a blob while it is held."""

    def __init__(self, index: BlobIndex) -> None:
        self._index = index
        _, packs, _, _ = index.columns()
        order = np.lexsort((index.offsets(), packs))
        self._order = order.astype(np.uint32)
        self._starts = np.searchsorted(packs[order], np.arange(len(index.pack_ids) + 1))

    def columns(self, number: int) -> Columns:
        """Entries in file order of the pack `index.pack_ids[number]`, as bytes."""
        rows = self._order[self._starts[number] : self._starts[number + 1]]
        return self._index.columns_at(rows.astype(np.intp))

    def entries(self, number: int) -> list[BlobEntry]:
        """Entries in file order of the pack `index.pack_ids[number]`."""
        return self.columns(number).entries()


class KnownBlobs:
    """Which ids are there, 16 bytes each (their first 128 bits), sorted. Immutable and picklable; its buffer
    may lie in memory that processes share."""

    def __init__(self, heads: npt.NDArray[np.uint64], seconds: npt.NDArray[np.uint64]) -> None:
        self._heads = np.ascontiguousarray(heads)
        self._seconds = np.ascontiguousarray(seconds)

    def __len__(self) -> int:
        return len(self._heads)

    def __contains__(self, blob_id: bytes) -> bool:
        head, second = int.from_bytes(blob_id[:8], "big"), int.from_bytes(blob_id[8:16], "big")
        row = int(self._heads.searchsorted(np.uint64(head)))
        while row < len(self._heads) and self._heads[row] == head:
            if self._seconds[row] == second:
                return True
            row += 1
        return False

    def have_all(self, ids: Sequence[bytes]) -> bool:
        """Whether every one of them is there."""
        return all(blob_id in self for blob_id in ids)

    def to_bytes(self) -> bytes:
        """What `from_buffer` takes: 16 bytes an id."""
        return self._heads.tobytes() + self._seconds.tobytes()

    @classmethod
    def from_buffer(cls, buffer: bytes | memoryview) -> KnownBlobs:
        """Looks at the buffer, copies nothing."""
        words = np.frombuffer(buffer, dtype=np.uint64)
        half = len(words) // 2
        return cls(words[:half], words[half:])


def decode_index(raw: bytes) -> dict[bytes, list[BlobEntry]]:
    """Packs of one index file with their entries in file order. :raises FormatError: see `decode_part`."""
    return BlobIndex([decode_part(raw)]).packs()
