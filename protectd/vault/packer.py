"""Filling packs: compress, seal into the pack's own memory, store it with one put."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import zstandard

from protectd.common.trail import follow, names
from protectd.common.units import KIB, MIB
from protectd.plugin.base import BankPlugin
from protectd.vault.crypto import OVERHEAD_BYTES, Buffer, Sealer
from protectd.vault.digests import Whole
from protectd.vault.index_files import MAX_BLOBS
from protectd.vault.pack import (
    COMPRESSED_ENTRY_BYTES,
    PACK_OVERHEAD_BYTES,
    TREE,
    BlobEntry,
    header_entry,
    header_line,
    pack_key,
    parse_header,
    seal_plain_header,
)
from protectd.vault.shared import Pages, SharedMemory

_SLACK_BYTES = 9 * MIB
"""One largest blob above the size at which a pack is closed, with its header."""


_MOVED_BYTES = MIB
"""Copying so much is nothing beside the making of a pack's pages."""

_LAST_BYTES = COMPRESSED_ENTRY_BYTES + PACK_OVERHEAD_BYTES
"""What follows a last blob, beside the header entries of those before it."""


class StoredPack(NamedTuple):
    """A pack that the bank took. `header` is its plain one: 41 bytes a blob, where entries would take five
    times as much. `size` is that of the whole, in bytes."""

    id: bytes
    header: bytes
    blobs: int
    size: int


class Leftover(NamedTuple):
    """What a packer leaves to another: the plain header of its units, which are `unit_bytes` in all."""

    header: bytes
    blobs: int
    unit_bytes: int


class _PackMemory:
    """One pack in the making. Its memory is taken once and used for pack after pack."""

    def __init__(self, size: int) -> None:
        self._pages = Pages(size)
        self.view = self._pages.view
        self.size = size
        self.clear()

    def room_for(self, length: int) -> bool:
        """Whether a unit of `length` and a header that names it still fit."""
        return self.end + length + len(self.header) + _LAST_BYTES <= self.size

    def clear(self) -> None:
        self.header = bytearray()
        self.whole = Whole()
        self.blobs = 0
        self.end = 0

    def take_from(self, other: _PackMemory) -> None:
        """Go on with what another one of the same size has begun; that one is empty then."""
        self.view[: other.end] = other.view[: other.end]
        self.header, self.whole, self.blobs, self.end = other.header, other.whole, other.blobs, other.end
        other.clear()

    def close(self) -> None:
        self._pages.close()


class Packer:
    """Packs of one kind. A full one is stored by a thread while the next is filled. For one thread."""

    def __init__(self, bank: BankPlugin, sealer: Sealer, *, kind: str, pack_bytes: int, level: int) -> None:
        self._bank = bank
        self._sealer = sealer
        self._kind = kind
        self._pack_bytes = pack_bytes
        self._compressor = zstandard.ZstdCompressor(level=level, write_checksum=False)
        self._size = pack_bytes + _SLACK_BYTES
        self._storing: tuple[_PackMemory, Future[StoredPack]] | None = None
        self._free: list[_PackMemory] = []
        self._pack = _PackMemory(self._size)
        self._putter = ThreadPoolExecutor(1, "vault-put", initializer=follow, initargs=(names(),))
        self._stored: list[StoredPack] = []
        self.plain_bytes = 0
        self.sealed_bytes = 0

    def digests(self, pieces: Sequence[Buffer]) -> list[bytes]:
        """SHA-256 of each; that of the pack in the making gets on meanwhile."""
        with self._pack.view[: self._pack.end] as filled:
            return self._pack.whole.beside(pieces, filled)

    def add(self, blob_id: bytes, plain: Buffer) -> None:
        """Store a blob that is not stored yet."""
        body: Buffer = self._compressor.compress(plain)
        size = len(plain)
        plain_length: int | None = size
        if len(body) >= size and self._kind != TREE:
            body, plain_length = plain, None
        pack = self._with_room(len(body) + OVERHEAD_BYTES)
        length = self._sealer.seal_into(body, pack.view[pack.end :])
        self._note(header_line(self._kind, blob_id, length, plain_length), 1, length)
        self.plain_bytes += size
        self.sealed_bytes += length

    def add_sealed(self, entry: BlobEntry, unit: Buffer) -> None:
        """Take over a unit that another packer has sealed: it is good at any place."""
        pack = self._with_room(len(unit))
        pack.view[pack.end : pack.end + len(unit)] = unit
        self._note(header_entry(entry), 1, len(unit))

    def take_over(self, left: Leftover, memory: SharedMemory) -> None:
        """What another packer has left in `memory`."""
        with memoryview(memory.bytes) as whole, whole[: left.unit_bytes] as units:
            pack = self._pack
            # A pack that is not full by this has room: there is more of it than that.
            if pack.end + len(units) < self._pack_bytes and pack.blobs + left.blobs < MAX_BLOBS:
                pack.view[pack.end : pack.end + len(units)] = units
                self._note(left.header, left.blobs, len(units))
                return
            for entry in parse_header(left.header):
                with units[entry.offset : entry.offset + entry.length] as unit:
                    self.add_sealed(entry, unit)

    def _note(self, lines: bytes, blobs: int, length: int) -> None:
        """Units stand at the end of the pack; `lines` are their part of the header."""
        pack = self._pack
        pack.header += lines
        pack.blobs += blobs
        pack.end += length
        if pack.end >= self._pack_bytes or pack.blobs >= MAX_BLOBS:
            self.flush()

    def _with_room(self, length: int) -> _PackMemory:
        if self._pack.room_for(length):
            return self._pack
        self.flush()
        if not self._pack.room_for(length):  # one blob larger than a pack: the tree of a huge directory
            larger = _PackMemory(length + 4 * KIB)
            self._free.append(self._pack)
            self._pack = larger
        return self._pack

    def flush(self) -> None:
        """Begin to store what there is. At most one pack is on its way while another is filled."""
        if not self._pack.blobs:
            return
        self._wait()
        following = self._free.pop() if self._free else _PackMemory(self._size)
        pack = self._pack
        trailer = seal_plain_header(self._sealer, pack.header)
        pack.view[pack.end : pack.end + len(trailer)] = trailer
        pack.end += len(trailer)
        self._storing = (pack, self._putter.submit(self._put, pack))
        self._pack = following

    def _put(self, pack: _PackMemory) -> StoredPack:
        with pack.view[: pack.end] as body:
            pack_id = pack.whole.digest(body)
            self._bank.put(pack_key(pack_id), body)
        return StoredPack(pack_id, bytes(pack.header), pack.blobs, pack.end)

    def _wait(self) -> None:
        if self._storing is None:
            return
        (pack, future), self._storing = self._storing, None
        try:
            self._stored.append(future.result())
        finally:
            pack.clear()
            if pack.size == self._size:
                self._free.append(pack)
            else:
                pack.close()

    def _go_on_in_touched_memory(self) -> None:
        """Move a pack that is hardly begun to where the one before it was: its pages need not be made first,
        and those of the other stay untouched as long as packs are stored faster than they are filled."""
        if self._free and self._pack.size == self._size and self._pack.end <= _MOVED_BYTES:
            begun, self._pack = self._pack, self._free.pop()
            self._pack.take_from(begun)
            self._free.append(begun)

    def take_stored(self) -> list[StoredPack]:
        """Packs that have become durable since the last call; does not wait."""
        if self._storing is not None and self._storing[1].done():
            self._wait()
            self._go_on_in_touched_memory()
        stored, self._stored = self._stored, []
        return stored

    def settle(self) -> None:
        """Wait for the pack on its way."""
        self._wait()

    def leave(self, memory: SharedMemory) -> Leftover:
        """Leave the units of the pack in the making in `memory`, for `take_over` of another packer.

        :param memory: with room for the bytes at which a pack is closed.
        """
        pack = self._pack
        left = Leftover(bytes(pack.header), pack.blobs, pack.end)
        with pack.view[: pack.end] as units:
            memory.write(units)
        pack.clear()
        return left

    def leftover(self) -> tuple[bytes, bytes]:
        """Header and units of the pack in the making, for `add_sealed` of another packer."""
        header, units = bytes(self._pack.header), bytes(self._pack.view[: self._pack.end])
        self._pack.clear()
        return header, units

    def close(self) -> None:
        """Wait for the pack on its way, whatever becomes of it, and give the memory back."""
        self._putter.shutdown()
        if self._storing is not None:
            self._free.append(self._storing[0])
        for pack in (*self._free, self._pack):
            pack.close()
