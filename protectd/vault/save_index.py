"""Index files of a backup, written while it runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from protectd.vault.index_files import MAX_BLOBS, index_file, pack_json
from protectd.vault.pack import parse_header
from protectd.vault.packer import StoredPack
from protectd.vault.repository import INDEX, Repository


class IndexWriter:
    """Names packs that are durable. Between two index files a crash loses the work, not the vault."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._packs: dict[bytes, StoredPack] = {}
        self._blobs = 0

    def add(self, packs: Iterable[tuple[Any, ...]]) -> None:
        """:param packs: those of StoredPack, also without the name of their tuple."""
        for pack in map(StoredPack._make, packs):
            if self._blobs + pack.blobs > MAX_BLOBS:
                self.flush()
            self._packs[pack.id] = pack
            self._blobs += pack.blobs

    def flush(self) -> None:
        """Store what was added; durable when this returns."""
        if self._packs:
            packs = (pack_json(pack.id, parse_header(pack.header)) for pack in self._packs.values())
            self._repository.save_unpacked(INDEX, index_file(packs))
        self._packs, self._blobs = {}, 0
