"""Index files of a backup, written while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from protectd.plugin.base import BankPlugin
from protectd.vault.index_files import MAX_BLOBS, index_file, pack_json
from protectd.vault.locks import HeldLock
from protectd.vault.pack import pack_key, parse_header
from protectd.vault.packer import StoredPack
from protectd.vault.presence import confirm_stored
from protectd.vault.repository import INDEX


class IndexWriter:
    """Names packs that are durable. Between two index files a crash loses the work, not the vault."""

    def __init__(self, bank: BankPlugin, lock: HeldLock) -> None:
        """:param bank: where they lie. :param lock: of the vault there."""
        self._bank = bank
        self._lock = lock
        self._packs: dict[bytes, StoredPack] = {}
        self._blobs = 0
        self._flushed_s = time.monotonic()

    def add(self, packs: Iterable[tuple[Any, ...]]) -> None:
        """:param packs: those of StoredPack, also without the name of their tuple."""
        for pack in map(StoredPack._make, packs):
            if self._blobs + pack.blobs > MAX_BLOBS:
                self.flush()
            self._packs[pack.id] = pack
            self._blobs += pack.blobs

    def flush_after(self, seconds: float) -> None:
        """As `flush`, when the last one was longer ago."""
        if time.monotonic() - self._flushed_s >= seconds:
            self.flush()

    def flush(self) -> None:
        """Store what was added; durable when this returns.

        :raises WriteLost: the bank does not have a pack that it took; nothing names any of them, then.
        :raises LockLost: what it names may have been removed for rubbish; it is not there, then.
        """
        if self._packs:
            confirm_stored(self._bank, {pack_key(pack.id): pack.size for pack in self._packs.values()})
            packs = (pack_json(pack.id, parse_header(pack.header)) for pack in self._packs.values())
            self._lock.store(INDEX, index_file(packs))
        self._packs, self._blobs = {}, 0
        self._flushed_s = time.monotonic()
