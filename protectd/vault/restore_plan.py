"""What has to be written where: files to be filled from packs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from protectd.vault.attributes import Wanted
from protectd.vault.index import BlobIndex
from protectd.vault.pack import DATA, BlobEntry
from protectd.vault.restore_worker import Blob, zero_ids
from protectd.vault.save_worker import Plain

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
    lost: bool = False
    links: list[tuple[bytes, bytes]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class PlannedBlob:
    """One blob, the copy that is read, and all its places."""

    entry: BlobEntry
    places: list[tuple[int, int]]
    copy: int = 0


class Plan:
    """Packs in the order in which files first need them."""

    def __init__(self, index: BlobIndex) -> None:
        self._index = index
        self._packs: dict[bytes, list[PlannedBlob]] = {}
        self._blobs: dict[bytes, PlannedBlob] = {}
        self.files: list[FileTarget] = []
        self.total_bytes = 0

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
        if blob is None:
            copies = self._index.copies(DATA, blob_id)
            if not copies:
                return None
            pack_id, entry = copies[0]
            blob = self._blobs[blob_id] = PlannedBlob(entry, [])
            self._packs.setdefault(pack_id, []).append(blob)
        return blob

    def portions(self) -> Iterator[tuple[bytes, list[PlannedBlob]]]:
        """Pack by pack, blobs by offset, each portion small enough for a job. The plan is used up by it."""
        self._blobs = {}
        while self._packs:
            pack_id = next(iter(self._packs))
            blobs = sorted(self._packs.pop(pack_id), key=lambda blob: blob.entry.offset)
            for portion in _portions(blobs):
                yield pack_id, portion

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
            part = blob.places[start : start + _JOB_PLACES]
            if portion and (len(portion) >= _JOB_BLOBS or places + len(part) > _JOB_PLACES):
                yield portion
                portion, places = [], 0
            portion.append(PlannedBlob(blob.entry, part, blob.copy))
            places += len(part)
    if portion:
        yield portion


def job_blob(blob: PlannedBlob) -> Plain:
    entry = blob.entry
    return tuple(Blob(entry.id, entry.offset, entry.length, entry.plain_length, blob.places))
