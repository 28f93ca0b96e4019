"""Packs: sealed blobs one after the other, then a sealed header that names them, then its length."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

import zstandard

from protectd.vault.crypto import OVERHEAD_BYTES, Buffer, Sealer
from protectd.vault.errors import FormatError, UnitDamaged, VaultDamaged

DATA: Final = "data"
TREE: Final = "tree"
LENGTH_BYTES = 4
MAX_HEADER_BYTES = 16 * 1024 * 1024 + LENGTH_BYTES

_PLAIN = struct.Struct("<BI32s")
_COMPRESSED = struct.Struct("<BII32s")
PLAIN_ENTRY_BYTES = _PLAIN.size
COMPRESSED_ENTRY_BYTES = _COMPRESSED.size
PACK_OVERHEAD_BYTES = OVERHEAD_BYTES + LENGTH_BYTES
"""Of a pack, beside its blobs and their header entries."""

_TYPES = {(DATA, False): 0, (TREE, False): 1, (DATA, True): 2, (TREE, True): 3}
_KINDS = {number: kind for (kind, _), number in _TYPES.items()}


class BlobEntry(NamedTuple):
    """Where one blob lies in its pack. `length` is that of the sealed unit; `plain_length` is None for a
    blob that was stored uncompressed."""

    kind: str
    id: bytes
    offset: int
    length: int
    plain_length: int | None

    @property
    def size(self) -> int:
        """Bytes of the blob itself."""
        return self.length - OVERHEAD_BYTES if self.plain_length is None else self.plain_length

    def __str__(self) -> str:
        return f"{self.kind} blob {self.id.hex()}"


def pack_key(pack_id: bytes) -> str:
    """The object that holds a pack."""
    name = pack_id.hex()
    return f"data/{name[:2]}/{name}"


def build_header(entries: Iterable[BlobEntry]) -> bytes:
    """The plain header; entries in file order."""
    return b"".join(map(header_entry, entries))


def header_entry(entry: BlobEntry) -> bytes:
    """What the plain header says of one blob."""
    kind, blob_id, _, length, plain_length = entry
    return header_line(kind, blob_id, length, plain_length)


def header_line(kind: str, blob_id: bytes, length: int, plain_length: int | None) -> bytes:
    """As `header_entry`, from what it takes of an entry."""
    if plain_length is None:
        return _PLAIN.pack(_TYPES[kind, False], length, blob_id)
    return _COMPRESSED.pack(_TYPES[kind, True], length, plain_length, blob_id)


def header_bytes(entries: Iterable[BlobEntry]) -> int:
    """Length of the plain header for these entries."""
    return sum(_PLAIN.size if entry[4] is None else _COMPRESSED.size for entry in entries)


def pack_bytes(entries: Iterable[BlobEntry]) -> int:
    """Length of a whole pack that holds exactly these entries."""
    blobs = headers = 0
    for entry in entries:
        blobs += entry[3]
        headers += _PLAIN.size if entry[4] is None else _COMPRESSED.size
    return blobs + headers + OVERHEAD_BYTES + LENGTH_BYTES


def parse_header(plain: Buffer) -> list[BlobEntry]:
    """Entries of a plain header, in file order.

    :raises FormatError: an unknown type, a torn entry, no entry at all.
    """
    entries: list[BlobEntry] = []
    place = offset = 0
    try:
        while place < len(plain):
            entry, place = _parse_entry(plain, place, offset)
            entries.append(entry)
            offset += entry.length
    except (struct.error, KeyError):
        raise FormatError(reason=f"its header is torn or has an unknown type at byte {place}") from None
    if not entries or any(entry.length <= OVERHEAD_BYTES for entry in entries):
        raise FormatError(reason="its header names no blob, or an empty one")
    return entries


def _parse_entry(plain: Buffer, place: int, offset: int) -> tuple[BlobEntry, int]:
    kind = _KINDS[plain[place]]
    if plain[place] < 2:
        _, length, blob_id = _PLAIN.unpack_from(plain, place)
        return BlobEntry(kind, blob_id, offset, length, None), place + _PLAIN.size
    _, length, plain_length, blob_id = _COMPRESSED.unpack_from(plain, place)
    return BlobEntry(kind, blob_id, offset, length, plain_length), place + _COMPRESSED.size


def seal_header(sealer: Sealer, entries: Iterable[BlobEntry]) -> bytes:
    """What follows the last blob: the sealed header and its length."""
    return seal_plain_header(sealer, build_header(entries))


def seal_plain_header(sealer: Sealer, header: Buffer) -> bytes:
    """As `seal_header`, when the header is there already."""
    unit = sealer.seal(header)
    return unit + len(unit).to_bytes(LENGTH_BYTES, "little")


def open_header(sealer: Sealer, pack: Buffer) -> list[BlobEntry]:
    """Entries of a whole pack, from its own header.

    :raises FormatError: not a pack, or blobs and header do not fill it without a gap.
    :raises UnitDamaged: the header does not open.
    """
    view = memoryview(pack)
    length = int.from_bytes(view[-LENGTH_BYTES:], "little")
    start = len(view) - LENGTH_BYTES - length
    if length <= OVERHEAD_BYTES or length > MAX_HEADER_BYTES or start < 0:
        raise FormatError(reason="the length of its header is wrong")
    entries = parse_header(sealer.open(view[start : start + length]))
    if entries[-1].offset + entries[-1].length != start:
        raise FormatError(reason="its blobs and its header do not fill it")
    return entries


def open_blob(
    sealer: Sealer, decompressor: zstandard.ZstdDecompressor, entry: BlobEntry, unit: Buffer
) -> bytes:
    """The plain blob, proven to be the one asked for.

    :raises VaultDamaged: a wrong tag, frame, length or hash; names the blob.
    """
    plain = open_unproven(sealer, decompressor, entry, unit)
    prove(entry, hashlib.sha256(plain).digest())
    return plain


def open_unproven(
    sealer: Sealer, decompressor: zstandard.ZstdDecompressor, entry: BlobEntry, unit: Buffer
) -> bytes:
    """The plain blob, for one who hashes several at once and then asks `prove`.

    :raises VaultDamaged: a wrong tag, frame or length; names the blob.
    """
    try:
        plain = sealer.open(unit)
        if entry.plain_length is not None:
            plain = decompress(decompressor, plain, entry.plain_length)
    except (UnitDamaged, FormatError) as error:
        raise VaultDamaged(object=str(entry), reason=str(error)) from error
    return plain


def prove(entry: BlobEntry, digest: bytes) -> None:
    """:raises VaultDamaged: what was opened is something else; names the blob."""
    if digest != entry.id:
        raise VaultDamaged(object=str(entry), reason="its content has another hash")


def decompress(decompressor: zstandard.ZstdDecompressor, frame: Buffer, plain_length: int) -> bytes:
    """One zstd frame of a known plain length. :raises FormatError: it is not that."""
    try:
        known = zstandard.frame_content_size(frame)
        # The length in the frame is what a decoder allocates: believe it only where the header agrees.
        if known not in (-1, plain_length):
            raise FormatError(reason="its compressed form holds another length than its header says")
        plain = decompressor.decompress(frame, max_output_size=plain_length, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise FormatError(reason="it does not decompress") from error
    if len(plain) != plain_length:
        raise FormatError(reason="it decompresses to another length")
    return plain
