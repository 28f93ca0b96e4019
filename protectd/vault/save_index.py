"""Index files of a backup, written while it runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from protectd.vault.index import MAX_BLOBS, encode_index
from protectd.vault.pack import BlobEntry
from protectd.vault.repository import INDEX, Repository


class IndexWriter:
    """Names packs that are durable. Between two index files a crash loses the work, not the vault."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._packs: dict[bytes, list[BlobEntry]] = {}
        self._blobs = 0

    def add(self, packs: Iterable[tuple[bytes, Iterable[tuple[Any, ...]]]]) -> None:
        """Ids of packs, and their entries: those of BlobEntry."""
        for pack_id, plain in packs:
            entries = list(map(BlobEntry._make, plain))
            if self._blobs + len(entries) > MAX_BLOBS:
                self.flush()
            self._packs[pack_id] = entries
            self._blobs += len(entries)

    def flush(self) -> None:
        """Store what was added; durable when this returns."""
        for raw in encode_index(self._packs):
            self._repository.save_unpacked(INDEX, raw)
        self._packs, self._blobs = {}, 0
