"""A worker of a backup: read, cut, hash, compress, seal, pack, store. Only paths and ids cross processes."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from protectd.common.errors import Cancelled
from protectd.common.units import KIB, MIB
from protectd.vault.chunker import SIZES, Chunker
from protectd.vault.crew import Plain, work
from protectd.vault.digests import grouped
from protectd.vault.opening import READ_FILE, Replaced, open_seen
from protectd.vault.pool import Channel, Pool
from protectd.vault.seen_files import (
    REPLACED,
    FileResult,
    State,
    changed,
    failure,
    fill,
    is_as,
    read_small,
    unpack_states,
)
from protectd.vault.shared import Pages
from protectd.vault.storing import BlobStore, StoreRest, StoreRole

SMALL_FILE_BYTES = SIZES.smallest
"""A file up to here is one blob."""
NO_ID = bytes(32)
"""Stands in a reply where a file has no blob, or one that is told elsewhere."""
WINDOW_BYTES = 2 * SIZES.largest
ZERO_RUNS = (8 * MIB, 512 * KIB)
"""Lengths of the blobs that stand for holes, longest first."""


class Stretch(NamedTuple):
    """A part of a large file. :ivar sparse: it has holes."""

    start: int
    end: int
    sparse: bool


class SaveJob(NamedTuple):
    """Small files whole, or a stretch of one large file. `states` has for each what `pack_state` makes."""

    paths: bytes
    """With a NUL between two."""
    states: bytes
    stretch: Plain | None = None
    """That of Stretch."""
    new_tables: Sequence[str] = ()
    """All tables of this run's blobs, the newest last."""


class SaveReply(NamedTuple):
    """`packs` are those of StoredPack."""

    ids: bytes
    """The blob of each small file, 32 bytes; zeros for those of `others`."""
    others: list[tuple[int, Plain]]
    """A stretch, or files that were not read as they were seen: the number of each and its FileResult."""
    packs: list[Plain]
    new_blobs: int


@dataclass(frozen=True)
class SaveWorker:
    """Role of one worker. :ivar seed: the chunker's."""

    store: StoreRole
    seed: int

    def run(self, channel: Channel, pool: Pool) -> Any:
        return work(_Saver(self), channel)


class _Saver:
    def __init__(self, role: SaveWorker) -> None:
        self._blobs = BlobStore(role.store)
        self._cancel = self._blobs.cancel
        self._chunker = Chunker(role.seed)
        self._pages = Pages(WINDOW_BYTES)
        self._window = self._pages.view

    def handle(self, job: SaveJob) -> SaveReply:
        self._blobs.extend(job.new_tables)
        paths, states = job.paths.split(b"\0"), unpack_states(job.states)
        if job.stretch is None:
            ids, others = self._small_files(paths, states)
        else:
            result = self._file(paths[0], states[0], Stretch._make(job.stretch))
            ids, others = b"", {0: result}
        return SaveReply(ids, [(number, tuple(each)) for number, each in others.items()], *self._blobs.take())

    def finish(self) -> StoreRest:
        return self._blobs.finish()

    def close(self) -> None:
        self._blobs.close()
        self._pages.close()

    # --- small files ---

    def _small_files(
        self, paths: Sequence[bytes], states: Sequence[State]
    ) -> tuple[bytes, dict[int, FileResult]]:
        lengths, others = read_small(paths, states, self._window, self._cancel.is_set)
        ends = accumulate(lengths, initial=0)
        pieces = [self._window[start:end] for start, end in pairwise(ends) if start < end]
        found = iter(self._blobs.blobs(pieces))
        ids = [next(found) if length else NO_ID for length in lengths]
        for number, result in others.items():
            if lengths[number]:
                others[number], ids[number] = result._replace(ids=ids[number]), NO_ID
        return b"".join(ids), others

    # --- one large file ---

    def _file(self, path: bytes, state: State, stretch: Stretch) -> FileResult:
        if self._cancel.is_set():
            raise Cancelled
        try:
            descriptor, _ = open_seen(path, READ_FILE, state[:2])
            try:
                return self._opened_file(descriptor, state, stretch)
            finally:
                os.close(descriptor)
        except Replaced:
            return REPLACED
        except OSError as error:
            return failure(error)

    def _opened_file(self, descriptor: int, state: State, stretch: Stretch) -> FileResult:
        start, end, sparse = stretch
        ids, read = self._stretch(descriptor, start, end, sparse)
        if not is_as(os.fstat(descriptor), state) or read != end - start:
            return changed(read, ids)
        return FileResult(ids, read)

    def _stretch(self, descriptor: int, start: int, end: int, sparse: bool) -> tuple[bytes, int]:
        ids: list[bytes] = []
        done = start
        for hole, until in _extents(descriptor, start, end) if sparse else [(False, end)]:
            if hole:
                ids.extend(self._zeros(until - done))
                done = until
                continue
            read = self._data(descriptor, done, until, ids)
            done += read
            if done < until:
                break
        return b"".join(ids), done - start

    def _data(self, descriptor: int, start: int, end: int, ids: list[bytes]) -> int:
        """Cut and store the bytes from `start` to `end`; how many there were."""
        place, kept = start, 0
        while True:
            wanted = min(len(self._window) - kept, end - place)
            read = fill(descriptor, self._window[kept : kept + wanted], place)
            place += read
            filled = kept + read
            last = place == end or read < wanted
            done = self._chunks(self._window[:filled], last, ids)
            if last:
                return place - start
            kept = filled - done
            self._window[:kept] = self._window[done:filled]

    def _cut(self, buffer: memoryview, last: bool) -> Iterator[tuple[int, memoryview]]:
        """Each piece, and where it ends."""
        done = 0
        for length in self._chunker.lengths(buffer, last=last):
            yield done + length, buffer[done : done + length]
            done += length

    def _chunks(self, buffer: memoryview, last: bool, ids: list[bytes]) -> int:
        done = 0
        for group in grouped(self._cut(buffer, last)):
            ids.extend(self._blobs.blobs([piece for _, piece in group]))
            done = group[-1][0]
        return done

    def _zeros(self, length: int) -> Iterator[bytes]:
        """Ids of the blobs that stand for a hole."""
        while length:
            if self._cancel.is_set():
                raise Cancelled
            run = next((run for run in ZERO_RUNS if run <= length), length)
            blob_id = zero_id(run)
            self._blobs.store(blob_id, _ZEROS[:run])
            yield blob_id
            length -= run


_ZEROS = memoryview(mmap.mmap(-1, ZERO_RUNS[0], prot=mmap.PROT_READ))


@lru_cache(maxsize=64)
def zero_id(length: int) -> bytes:
    """Id of a blob of zeros, up to the longest of ZERO_RUNS."""
    return hashlib.sha256(_ZEROS[:length]).digest()


def _extents(descriptor: int, start: int, end: int) -> Iterator[tuple[bool, int]]:
    """(is a hole, where it ends) from `start` to `end`, in turn. Holes that would not come back as such go as
    data: an image with one between any two pages would take hundreds of times as many blobs."""
    told = place = start
    while place < end:
        data = _next_data(descriptor, place, end)
        if data - place >= ZERO_RUNS[-1]:
            if told < place:
                yield False, place
            yield True, data
            told = data
        place = min(os.lseek(descriptor, data, os.SEEK_HOLE), end) if data < end else end
    if told < end:
        yield False, end


def _next_data(descriptor: int, place: int, end: int) -> int:
    """Where data go on, at `end` at the latest."""
    try:
        return min(os.lseek(descriptor, place, os.SEEK_DATA), end)
    except OSError as error:
        if error.errno != errno.ENXIO:  # no more data up to the end
            raise
        return end
