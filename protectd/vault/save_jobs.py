"""Portions of work for the workers of a backup."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

from protectd.common.units import GIB, KIB, MIB
from protectd.vault.save_worker import SMALL_FILE_BYTES, SaveJob
from protectd.vault.scan import FileEntry
from protectd.vault.seen_files import FileResult

_BATCH_FILES = 256
_BATCH_BYTES = 4 * MIB
_BATCH_PATH_BYTES = 48 * KIB
"""A job has to fit into a socket's buffer."""
_STRETCH_BYTES = 64 * MIB
_LONG_STRETCH_BYTES = 256 * MIB


@dataclass(slots=True)
class Batch:
    """Small files, in one job."""

    files: list[FileEntry] = field(default_factory=list)
    bytes: int = 0
    path_bytes: int = 0

    def add(self, entry: FileEntry) -> bool:
        """Whether it is full by this."""
        files = self.files
        files.append(entry)
        self.bytes += entry.size
        self.path_bytes += len(entry.folder.path) + len(entry.name) + 2
        too_many = len(files) >= _BATCH_FILES or self.path_bytes >= _BATCH_PATH_BYTES
        return too_many or self.bytes >= _BATCH_BYTES


@dataclass(slots=True, eq=False)
class LargeFile:
    """A file whose stretches are read by whoever is free."""

    entry: FileEntry
    results: list[FileResult | None]

    def put(self, number: int, result: FileResult) -> FileResult | None:
        """Take the result of one stretch; with the last one, that of the file."""
        self.results[number] = result
        results = [each for each in self.results if each is not None]
        if len(results) < len(self.results):
            return None
        read = sum(each.read_bytes for each in results)
        for each in results:
            if each.trouble not in (None, "changed"):
                return each._replace(ids=b"", read_bytes=read)
        changed = next((each for each in results if each.trouble), results[0])
        return changed._replace(ids=b"".join(each.ids for each in results), read_bytes=read)


Ticket = Batch | tuple[LargeFile, int]


class Jobs:
    """Large files first, so that no worker is left alone with one at the end."""

    def __init__(self) -> None:
        self._large: deque[tuple[SaveJob, Ticket]] = deque()
        self._small: deque[Batch] = deque()
        self._batch = Batch()
        self.waiting_files = 0

    def __bool__(self) -> bool:
        return bool(self._large or self._small)

    def add(self, entry: FileEntry) -> bool:
        """Whether a job has become ready by this."""
        self.waiting_files += 1
        if entry.size > SMALL_FILE_BYTES:
            self._cut(entry)
            return True
        return self._batch.add(entry) and self.close_batch()

    def _cut(self, entry: FileEntry) -> None:
        size = entry.size
        step = _LONG_STRETCH_BYTES if size > GIB else _STRETCH_BYTES
        stretches = list(pairwise([*range(0, size, step), size]))
        large = LargeFile(entry, [None] * len(stretches))
        for number, stretch in enumerate(stretches):
            job = SaveJob(entry.path, entry.state, (*stretch, entry.sparse))
            self._large.append((job, (large, number)))

    def close_batch(self) -> bool:
        """Make a job of the small files at hand; whether there were any."""
        if not self._batch.files:
            return False
        self._small.append(self._batch)
        self._batch = Batch()
        return True

    def take(self) -> tuple[SaveJob, Ticket]:
        """The next job; there is one."""
        if self._large:
            job, ticket = self._large.popleft()
            self.waiting_files -= not (isinstance(ticket, tuple) and ticket[1])
            return job, ticket
        batch = self._small.popleft()
        self.waiting_files -= len(batch.files)
        paths = b"\0".join([entry.path for entry in batch.files])
        return SaveJob(paths, b"".join([entry.state for entry in batch.files])), batch
