"""A worker of a backup: read, cut, hash, compress, seal, pack, store. Only paths and ids cross processes."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from protectd.common.errors import Cancelled
from protectd.common.units import KIB, MIB
from protectd.vault.chunker import SIZES, Chunker
from protectd.vault.crew import Plain, work
from protectd.vault.digests import grouped
from protectd.vault.opening import READ_FILE, Replaced, open_seen
from protectd.vault.pool import Channel, Pool
from protectd.vault.shared import Pages
from protectd.vault.storing import BlobStore, StoreRest, StoreRole

SMALL_FILE_BYTES = SIZES.smallest
"""A file up to here is one blob."""
WINDOW_BYTES = 2 * SIZES.largest
ZERO_RUNS = (8 * MIB, 512 * KIB)
"""Lengths of the blobs that stand for holes, longest first."""


class SeenFile(NamedTuple):
    """A regular file as the scan saw it."""

    path: bytes
    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    sparse: bool


class SaveJob(NamedTuple):
    """Small files whole, or a stretch of one large file. `files` are those of SeenFile."""

    files: Sequence[Plain]
    stretch: tuple[int, int] | None = None
    new_tables: Sequence[str] = ()
    """All tables of this run's blobs, the newest last."""


class FileResult(NamedTuple):
    """What became of a file. `trouble` is an issue's kind, or "replaced", or None; with "changed" there is
    content all the same."""

    ids: bytes
    """32 bytes for each blob, in order."""
    read_bytes: int
    trouble: str | None = None
    reason: str = ""


class SaveReply(NamedTuple):
    """`results` are those of FileResult, `packs` those of StoredPack."""

    results: list[Plain]
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
        if job.stretch is None:
            results = [tuple(self._file(file, 0, file.size)) for file in map(SeenFile._make, job.files)]
        else:
            results = [tuple(self._file(SeenFile._make(job.files[0]), *job.stretch))]
        return SaveReply(results, *self._blobs.take())

    def finish(self) -> StoreRest:
        return self._blobs.finish()

    def close(self) -> None:
        self._blobs.close()
        self._pages.close()

    # --- one file ---

    def _file(self, file: SeenFile, start: int, end: int) -> FileResult:
        if self._cancel.is_set():
            raise Cancelled
        try:
            descriptor, _ = open_seen(file.path, READ_FILE, (file.device, file.inode))
        except Replaced:
            return FileResult(b"", 0, "replaced")
        except OSError as error:
            return _failure(error)
        try:
            return self._opened_file(descriptor, file, start, end)
        except OSError as error:
            return _failure(error)
        finally:
            os.close(descriptor)

    def _opened_file(self, descriptor: int, file: SeenFile, start: int, end: int) -> FileResult:
        if file.size <= SMALL_FILE_BYTES:
            ids, read = self._small(descriptor, file.size)
        else:
            ids, read = self._stretch(descriptor, start, end, file.sparse)
        status = os.fstat(descriptor)
        seen = (file.size, file.mtime_ns, file.ctime_ns)
        if (status.st_size, status.st_mtime_ns, status.st_ctime_ns) != seen or read != end - start:
            return FileResult(ids, read, "changed", "it was written to while it was read")
        return FileResult(ids, read)

    def _small(self, descriptor: int, size: int) -> tuple[bytes, int]:
        read = _fill(descriptor, self._window[:size], 0)
        return (self._blobs.blobs([self._window[:read]])[0] if read else b""), read

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
            read = _fill(descriptor, self._window[kept : kept + wanted], place)
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
    """(is a hole, where it ends) from `start` to `end`, in turn."""
    place = start
    while place < end:
        try:
            data = min(os.lseek(descriptor, place, os.SEEK_DATA), end)
        except OSError as error:
            if error.errno != errno.ENXIO:  # no more data up to the end
                raise
            data = end
        if data > place:
            yield True, data
        if data < end:
            place = min(os.lseek(descriptor, data, os.SEEK_HOLE), end)
            yield False, place
        else:
            return


def _fill(descriptor: int, buffer: memoryview, offset: int) -> int:
    """Read until `buffer` is full or the file ends."""
    done = 0
    while done < len(buffer):
        read = os.preadv(descriptor, [buffer[done:]], offset + done)
        if not read:
            break
        done += read
    return done


def _failure(error: OSError) -> FileResult:
    gone = error.errno in (errno.ENOENT, errno.ENOTDIR)
    if error.errno == errno.ELOOP:
        return FileResult(b"", 0, "replaced")
    return FileResult(b"", 0, "vanished" if gone else "unreadable", error.strerror or "")
