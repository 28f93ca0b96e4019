"""What has to be written where: files to be filled from packs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from protectd.vault.attributes import Wanted
from protectd.vault.crew import Plain
from protectd.vault.index import BlobIndex
from protectd.vault.pack import DATA, BlobEntry
from protectd.vault.restore_worker import zero_ids

_JOB_BLOBS = 256
_JOB_PLACES = 256
"""A reply that finds fault with each of them still fits into a socket's buffer."""


@dataclass(slots=True, eq=False)
class FileTarget:
    """A file to be made. `missing` counts places that are not filled yet, `links` its further names."""

    number: int
    folder: bytes
    name: bytes
    wanted: Wanted
    size: int
    missing: int
    sparse: bool
    whole: bool
    """Of one blob: made by one worker in one go."""
    written_as: bytes = b""
    """Name of the unfinished file of several blobs; "" before it is made."""
    identity: tuple[int, int] = (0, 0)
    """Which file was made under that name."""
    lost: bool = False
    links: list[tuple[bytes, bytes]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class PlannedBlob:
    """One blob, the number of the copy that is read, and all its places."""

    entry: BlobEntry
    places: list[tuple[int, int]]
    copy: int = 0


Portion = tuple[bytes, list[PlannedBlob]]


class Plan:
    """Packs in the order in which files first need them.

    A pack can be read as soon as each of its blobs has been asked for, while files are still being added.
    """

    def __init__(self, index: BlobIndex) -> None:
        self._index = index
        self._packs: dict[bytes, list[PlannedBlob]] = {}
        self._blobs: dict[bytes, PlannedBlob | None] = {}
        """By id. None for one that has been given out: a place that is found later needs another read."""
        self._looked_up: dict[bytes, tuple[bytes, BlobEntry] | None] = {}
        self._unasked = index.blob_counts()
        self._whole: deque[bytes] = deque()
        self._ready: deque[Portion] = deque()
        self.files: list[FileTarget] = []
        self.total_bytes = 0

    def expect(self, ids: Iterable[bytes]) -> None:
        """Look up the blobs of the files that come next, all at once."""
        fresh = [blob_id for blob_id in ids if blob_id not in self._blobs]
        self._looked_up = dict(zip(fresh, self._index.lookup_all(DATA, fresh), strict=True))

    def add(self, folder: bytes, name: bytes, wanted: Wanted, content: Sequence[bytes]) -> FileTarget | bytes:
        """Plan a file that is not empty; or the id of the first of its blobs that no index knows."""
        blobs = []
        for blob_id in content:
            blob = self._blob(blob_id)
            if blob is None:
                return blob_id
            blobs.append(blob)
        number, position = len(self.files), 0
        for blob in blobs:
            blob.places.append((number, position))
            position += blob.entry.size
        sparse = len(content) > 1 and not zero_ids().isdisjoint(content)
        whole = len(content) == 1
        file = FileTarget(number, folder, name, wanted, position, len(content), sparse, whole)
        self.files.append(file)
        self.total_bytes += position
        return file

    def _blob(self, blob_id: bytes) -> PlannedBlob | None:
        blob = self._blobs.get(blob_id)
        if blob is not None:
            return blob
        place = self._looked_up.get(blob_id) or self._index.lookup(DATA, blob_id)
        if place is None:
            return None
        pack_id, entry = place
        if blob_id not in self._blobs:
            self._count(pack_id)
        blob = self._blobs[blob_id] = PlannedBlob(entry, [])
        self._packs.setdefault(pack_id, []).append(blob)
        return blob

    def _count(self, pack_id: bytes) -> None:
        self._unasked[pack_id] -= 1
        if not self._unasked[pack_id]:
            self._whole.append(pack_id)

    def ready(self) -> Portion | None:
        """A portion of a pack of which everything has been asked for, if there is one."""
        while not self._ready and self._whole:
            self._take(self._whole.popleft())
        return self._ready.popleft() if self._ready else None

    def rest(self) -> Portion | None:
        """A portion of any pack, when no more files are added; None when all have been given."""
        while not self._ready and self._packs:
            self._take(next(iter(self._packs)))
        return self._ready.popleft() if self._ready else None

    def _take(self, pack_id: bytes) -> None:
        """Blobs by offset, each portion small enough for a job."""
        blobs = sorted(self._packs.pop(pack_id, ()), key=_offset)
        self._blobs.update(dict.fromkeys(blob.entry.id for blob in blobs))
        self._ready.extend((pack_id, portion) for portion in _portions(blobs))

    def another_copy(self, blob: PlannedBlob) -> tuple[bytes, PlannedBlob] | None:
        """The same places to be filled from the next copy, after one that did not read."""
        copies = self._index.copies(DATA, blob.entry.id)
        if blob.copy + 1 >= len(copies):
            return None
        pack_id, entry = copies[blob.copy + 1]
        return pack_id, PlannedBlob(entry, blob.places, blob.copy + 1)


def _portions(blobs: Sequence[PlannedBlob]) -> Iterator[list[PlannedBlob]]:
    portion: list[PlannedBlob] = []
    places = 0
    for blob in blobs:
        for start in range(0, len(blob.places), _JOB_PLACES):
            part = blob
            if len(blob.places) > _JOB_PLACES:
                part = PlannedBlob(blob.entry, blob.places[start : start + _JOB_PLACES], blob.copy)
            if portion and (len(portion) >= _JOB_BLOBS or places + len(part.places) > _JOB_PLACES):
                yield portion
                portion, places = [], 0
            portion.append(part)
            places += len(part.places)
    if portion:
        yield portion


_offset = attrgetter("entry.offset")


def job_blob(blob: PlannedBlob) -> Plain:
    """The fields of a `Blob`."""
    _, blob_id, offset, length, plain_length = blob.entry
    return blob_id, offset, length, plain_length, blob.places
