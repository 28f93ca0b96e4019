"""Index files: JSON that says which pack holds which blob, as columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from protectd.vault.crypto import OVERHEAD_BYTES
from protectd.vault.errors import FormatError
from protectd.vault.pack import (
    DATA,
    TREE,
    BlobEntry,
)
from protectd.vault.tree import decode_id

MAX_BLOBS = 50_000
Packs = Mapping[bytes, Sequence[BlobEntry]]

STORED_PLAIN = 0xFFFFFFFF
"""In the column of plain lengths: stored uncompressed. A blob is shorter than 4 GiB."""

KINDS = (DATA, TREE)
KIND_NUMBERS = {DATA: 0, TREE: 1}


def encode_index(packs: Packs) -> list[bytes]:
    """Index files, each at most 50,000 blobs unless one pack has more; a pack is never split."""
    files: list[bytes] = []
    batch: list[bytes] = []
    blobs = 0
    for pack_id, entries in packs.items():
        if batch and blobs + len(entries) > MAX_BLOBS:
            files.append(index_file(batch))
            batch, blobs = [], 0
        batch.append(pack_json(pack_id, entries))
        blobs += len(entries)
    return [*files, index_file(batch)] if batch else files


def index_file(packs: Iterable[bytes]) -> bytes:
    """One index file of what `pack_json` made."""
    return b'{"packs":[%s]}\n' % b",".join(packs)


def pack_json(pack_id: bytes, entries: Iterable[BlobEntry]) -> bytes:
    """What an index file says of one pack."""
    return b'{"id":"%s","blobs":[%s]}' % (pack_id.hex().encode(), b",".join(map(_blob_json, entries)))


def _blob_json(entry: BlobEntry) -> bytes:
    kind, blob_id, offset, length, plain_length = entry
    place = (blob_id.hex().encode(), kind.encode(), offset, length)
    if plain_length is None:
        return b'{"id":"%s","type":"%s","offset":%d,"length":%d}' % place
    return b'{"id":"%s","type":"%s","offset":%d,"length":%d,"uncompressed_length":%d}' % (
        *place,
        plain_length,
    )


@dataclass(frozen=True, slots=True)
class IndexPart:
    """One index file as columns: row i is one blob, in the pack `pack_ids[packs[i]]`."""

    pack_ids: list[bytes]
    packs: npt.NDArray[np.uint32]
    kinds: npt.NDArray[np.uint8]
    ids: npt.NDArray[np.uint8]
    """Shape (n, 32)."""
    numbers: npt.NDArray[np.uint32]
    """Shape (n, 3): offset, length, plain length."""


def decode_part(raw: bytes) -> IndexPart:
    """One index file; unknown keys are ignored. :raises FormatError: not an index, or impossible entries."""
    try:
        return _part(orjson.loads(raw)["packs"] or ())
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FormatError(reason="it is not an index's JSON") from error


def _part(packs: Sequence[Mapping[str, Any]]) -> IndexPart:
    blobs = [blob for pack in packs for blob in pack["blobs"]]
    count = len(blobs)
    numbers = np.empty((count, 3), np.int64)
    numbers[:, 0] = _whole([blob["offset"] for blob in blobs])
    numbers[:, 1] = _whole([blob["length"] for blob in blobs])
    numbers[:, 2] = _whole([blob.get("uncompressed_length") or STORED_PLAIN for blob in blobs])
    if count and (numbers.min() < 0 or numbers.max() > STORED_PLAIN or numbers[:, 1].min() <= OVERHEAD_BYTES):
        raise FormatError(reason="it has an impossible offset or length")
    return IndexPart(
        [decode_id(pack["id"]) for pack in packs],
        np.repeat(np.arange(len(packs), dtype=np.uint32), [len(pack["blobs"]) for pack in packs]),
        np.fromiter((KIND_NUMBERS[blob["type"]] for blob in blobs), np.uint8, count),
        _ids([blob["id"] for blob in blobs]),
        numbers.astype(np.uint32),
    )


def _whole(values: list[Any]) -> npt.NDArray[Any]:
    column = np.array(values)
    if values and column.dtype.kind not in "iu":
        raise FormatError(reason="it has an offset or length that is no whole number")
    return column


def _ids(texts: Sequence[str]) -> npt.NDArray[np.uint8]:
    raw = bytes.fromhex("".join(texts))
    if any(len(text) != 64 for text in texts) or len(raw) != 32 * len(texts):
        raise FormatError(reason="it has a blob id that is not 64 hex digits")
    return np.frombuffer(raw, np.uint8).reshape(len(texts), 32)


def part_of(packs: Packs) -> IndexPart:
    """Columns of packs that were just written."""
    entries = [entry for each in packs.values() for entry in each]
    lengths = [len(each) for each in packs.values()]
    numbers = [
        (e.offset, e.length, STORED_PLAIN if e.plain_length is None else e.plain_length) for e in entries
    ]
    return IndexPart(
        list(packs),
        np.repeat(np.arange(len(packs), dtype=np.uint32), lengths),
        np.fromiter((KIND_NUMBERS[entry.kind] for entry in entries), np.uint8, len(entries)),
        np.frombuffer(b"".join(entry.id for entry in entries), np.uint8).reshape(len(entries), 32),
        np.array(numbers, np.uint32).reshape(len(entries), 3),
    )
