"""Which blobs need not be stored again: those of the index, and those that this run has stored so far.

Both sets live in memory that the planner shares with its workers. They hold the first 16 bytes of an id: two
blobs that agree in these would have to be made with 2^64 hashes.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Self

from protectd.vault.shared import SharedMemory

PREFIX_BYTES = 16
_FULL = 0.6
_FIRST_SLOTS = 1 << 17
_GROWTH = 4


class StoredBlobs:
    """The blobs of the index, sorted: 16 bytes each, one copy for all processes."""

    def __init__(self, memory: SharedMemory) -> None:
        self._memory = memory
        self.path = memory.path
        with memoryview(memory.bytes).cast("Q") as words:
            count = words[0]
            self._heads = words[1 : 1 + count]
            self._seconds = words[1 + count : 1 + 2 * count]

    @classmethod
    def create(cls, known: bytes) -> Self:
        """:param known: all first words, sorted, then all second words (`KnownBlobs.to_bytes`)."""
        memory = SharedMemory.create(8 + len(known))
        memory.bytes[:8] = (len(known) // 16).to_bytes(8, sys.byteorder)
        memory.bytes[8:] = known
        return cls(memory)

    @classmethod
    def attach(cls, path: str) -> Self:
        return cls(SharedMemory.attach(path))

    def __contains__(self, blob_id: bytes) -> bool:
        if not self._heads:
            return False
        head = int.from_bytes(blob_id[:8], "big")
        second = int.from_bytes(blob_id[8:16], "big")
        place = bisect_left(self._heads, head)
        while place < len(self._heads) and self._heads[place] == head:
            if self._seconds[place] == second:
                return True
            place += 1
        return False

    def has_all(self, blob_ids: Iterable[bytes]) -> bool:
        return all(map(self.__contains__, blob_ids))

    def close(self) -> None:
        self._heads.release()
        self._seconds.release()
        self._memory.close()


class NewBlobs:
    """The blobs of this run: a hash table that every worker writes to without a lock.

    Two writers that meet in one slot may lose an entry. Then a blob is stored twice, which the format allows;
    a blob that was not stored is never found, because half of one entry and half of another is no blob's id.
    Tables are added while it fills; the old ones stay.
    """

    def __init__(self) -> None:
        self._tables: list[SharedMemory] = []
        self._count = 0

    @classmethod
    def create(cls) -> Self:
        blobs = cls()
        blobs._tables.append(SharedMemory.create(_FIRST_SLOTS * PREFIX_BYTES))
        return blobs

    @classmethod
    def attach(cls, paths: Sequence[str]) -> Self:
        blobs = cls()
        blobs.extend(paths)
        return blobs

    @property
    def paths(self) -> list[str]:
        return [table.path for table in self._tables]

    def add(self, blob_id: bytes) -> bool:
        """Remember a blob; whether it was new, so that the caller has to store it."""
        prefix = blob_id[:PREFIX_BYTES]
        if len(self._tables) > 1 and any(_slot(table, prefix)[1] for table in self._tables[:-1]):
            return False
        slot, found = _slot(self._tables[-1], prefix)
        if not found and slot >= 0:
            self._tables[-1].bytes[slot : slot + PREFIX_BYTES] = prefix
        return not found

    def grow_for(self, stored: int) -> None:
        """Count `stored` more entries, and add a table when the newest is full enough."""
        self._count += stored
        slots = len(self._tables[-1].bytes) // PREFIX_BYTES
        if self._count >= slots * _FULL:
            self._tables.append(SharedMemory.create(slots * _GROWTH * PREFIX_BYTES))

    def extend(self, paths: Sequence[str]) -> None:
        """Attach those of the maker's tables that are not attached yet."""
        self._tables.extend(map(SharedMemory.attach, paths[len(self._tables) :]))

    def close(self) -> None:
        for table in self._tables:
            table.close()


_PROBES = 64
_EMPTY = bytes(PREFIX_BYTES)


def _slot(table: SharedMemory, prefix: bytes) -> tuple[int, bool]:
    """Where a prefix stands or could stand, and whether it does; (-1, False) where the table is crowded."""
    slots = table.bytes
    mask = len(slots) - 1 & -PREFIX_BYTES
    place = int.from_bytes(prefix[:8], "little") & mask
    for _ in range(_PROBES):
        found = slots[place : place + PREFIX_BYTES]
        if found == _EMPTY:
            return place, False
        if found == prefix:
            return place, True
        place = place + PREFIX_BYTES & mask
    return -1, False
