"""What packs say of themselves; and of those that cannot say it, what can still be read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import NamedTuple

from protectd.plugin.base import BankObjectNotFound
from protectd.vault.errors import VaultDamaged
from protectd.vault.index import BlobIndex, PackRows
from protectd.vault.pack import BlobEntry, open_blob, pack_key
from protectd.vault.pack_header import read_header
from protectd.vault.presence import refuse_short
from protectd.vault.repository import Repository

_THREADS = 8
"""Headers are small: what they wait for is the bank."""


class FoundPack(NamedTuple):
    """What is in a pack, as far as it can be told; and what is wrong with it, or ""."""

    pack_id: bytes
    entries: list[BlobEntry]
    damage: str = ""


class PackHeaders:
    """:param index: what was said before of packs whose headers do not read now.
    :param sizes: of all packs in the bank.
    """

    def __init__(self, repository: Repository, index: BlobIndex, sizes: Mapping[bytes, int]) -> None:
        self._repository = repository
        self._index = index
        self._sizes = sizes

    def read(self, pack_ids: Iterable[bytes], check: Callable[[], None]) -> Iterator[FoundPack]:
        """Packs in their order, several being read at once. :param check: called once a pack; may raise."""
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="vault-header") as threads:
            waiting: deque[Future[FoundPack]] = deque()
            try:
                for pack_id in pack_ids:
                    check()
                    waiting.append(threads.submit(self._pack, pack_id))
                    if len(waiting) > 2 * _THREADS:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _pack(self, pack_id: bytes) -> FoundPack:
        bank, sealer = self._repository.bank, self._repository.sealer
        try:
            return FoundPack(pack_id, read_header(bank, sealer, pack_id, self._sizes[pack_id]))
        except VaultDamaged as error:
            return self._salvage(pack_id, error)

    def _salvage(self, pack_id: bytes, error: VaultDamaged) -> FoundPack:
        """The blobs of a pack with a bad header that are where an index file has named them."""
        named = self._rows.entries(self._numbers[pack_id]) if pack_id in self._numbers else []
        if not named:
            return FoundPack(pack_id, [], f"{error}; it is left out")
        try:
            pack = memoryview(self._repository.bank.get(pack_key(pack_id)))
            if len(pack) < self._sizes[pack_id]:
                refuse_short(self._repository.bank, pack_key(pack_id), 0, len(pack))
        except BankObjectNotFound:
            pack = memoryview(b"")
        good = [entry for entry in named if self._opens(entry, pack)]
        return FoundPack(pack_id, good, f"{error}; {len(good)} of {len(named)} blobs in it can be read")

    def _opens(self, entry: BlobEntry, pack: memoryview) -> bool:
        unit = pack[entry.offset : entry.offset + entry.length]
        try:
            open_blob(self._repository.sealer, self._repository.decompressor, entry, unit)
        except VaultDamaged:
            return False
        return True

    @cached_property
    def _rows(self) -> PackRows:
        return PackRows(self._index)

    @cached_property
    def _numbers(self) -> dict[bytes, int]:
        return {pack_id: number for number, pack_id in enumerate(self._index.pack_ids)}
