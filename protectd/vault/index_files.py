"""Index files: JSON that says which pack holds which blob, as columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import orjson

from protectd.vault.crypto import OVERHEAD_BYTES
from protectd.vault.errors import FormatError
from protectd.vault.gofmt import datetime_text, parse_datetime
from protectd.vault.pack import (
    DATA,
    TREE,
    BlobEntry,
)
from protectd.vault.tree import decode_id

MAX_BLOBS = 50_000
LONG_AGO = datetime.min.replace(tzinfo=UTC)
Packs = Mapping[bytes, Sequence[BlobEntry]]

STORED_PLAIN = 0xFFFFFFFF
"""In the column of plain lengths: stored uncompressed. A blob is shorter than 4 GiB."""

KINDS = (DATA, TREE)
KIND_NUMBERS = {DATA: 0, TREE: 1}


def encode_index(packs: Packs) -> list[bytes]:
    """Index files, each at most 50,000 blobs unless one pack has more; a pack is never split."""
    return [index_file(pack_json(*pack) for pack in batch) for batch in _batches(packs)]


def encode_marks(packs: Packs, notes: Mapping[bytes, Mark]) -> list[bytes]:
    """Index files that say of packs that they are going to be deleted, and nothing else."""
    return [
        index_file((), (mark_json(pack_id, entries, *notes[pack_id]) for pack_id, entries in batch))
        for batch in _batches(packs)
    ]


def _batches(packs: Packs) -> Iterator[list[tuple[bytes, Sequence[BlobEntry]]]]:
    batch: list[tuple[bytes, Sequence[BlobEntry]]] = []
    blobs = 0
    for pack_id, entries in packs.items():
        if batch and blobs + len(entries) > MAX_BLOBS:
            yield batch
            batch, blobs = [], 0
        batch.append((pack_id, entries))
        blobs += max(1, len(entries))
    if batch:
        yield batch


def index_file(packs: Iterable[bytes], marked: Iterable[bytes] = ()) -> bytes:
    """One index file of what `pack_json` made, and of what `mark_json` made."""
    marks = b",".join(marked)
    rest = b',"packs_to_delete":[%s]' % marks if marks else b""
    return b'{"packs":[%s]%s}\n' % (b",".join(packs), rest)


def pack_json(pack_id: bytes, entries: Iterable[BlobEntry]) -> bytes:
    """What an index file says of one pack."""
    return b'{"id":"%s","blobs":[%s]}' % (pack_id.hex().encode(), b",".join(map(_blob_json, entries)))


def mark_json(pack_id: bytes, entries: Iterable[BlobEntry], time: datetime, size: int | None = None) -> bytes:
    """What an index file says of a pack that is going to be deleted.

    :param entries: none for a pack that no index names. :param time: when that was decided.
    """
    size_json = b"" if size is None else b',"size":%d' % size
    return b'%s,"time":"%s"%s}' % (pack_json(pack_id, entries)[:-1], datetime_text(time).encode(), size_json)


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
    """One index file as columns: row i is one blob, in the pack `pack_ids[packs[i]]`.

    :ivar marked: what the file says of packs that are going to be deleted; None where it says nothing.
    """

    pack_ids: list[bytes]
    packs: npt.NDArray[np.uint32]
    kinds: npt.NDArray[np.uint8]
    ids: npt.NDArray[np.uint8]
    """Shape (n, 32)."""
    numbers: npt.NDArray[np.uint32]
    """Shape (n, 3): offset, length, plain length."""
    marked: Marked | None = None


class Mark(NamedTuple):
    """Since when a pack is going to be deleted, and how long it is; not every program tells that."""

    time: datetime
    size: int | None


@dataclass(frozen=True, slots=True)
class Marked:
    """Packs that are going to be deleted. They may be named as any other pack as well.

    :ivar part: what is in them; there is nothing about packs that no index has ever named.
    """

    part: IndexPart
    notes: dict[bytes, Mark]

    def leaving(self) -> frozenset[bytes]:
        """Those that were known when they were marked."""
        return frozenset(self.part.pack_ids[number] for number in np.unique(self.part.packs))


@dataclass(frozen=True, slots=True)
class Marks:
    """What several files say of packs that are going to be deleted."""

    notes: dict[bytes, Mark]
    leaving: frozenset[bytes]
    """Those that were known when they were marked: nobody may count on them any more."""

    @classmethod
    def of(cls, parts: Iterable[IndexPart]) -> Self:
        marked = [part.marked for part in parts if part.marked is not None]
        notes = {pack_id: note for each in marked for pack_id, note in each.notes.items()}
        return cls(notes, frozenset().union(*(each.leaving() for each in marked)))


def decode_part(raw: bytes) -> IndexPart:
    """One index file; unknown keys are ignored. :raises FormatError: not an index, or impossible entries."""
    try:
        fields = orjson.loads(raw)
        marked = _marked(fields.get("packs_to_delete") or ())
        return replace(_part(fields["packs"] or ()), marked=marked)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FormatError(reason="it is not an index's JSON") from error


def _marked(packs: Sequence[Mapping[str, Any]]) -> Marked | None:
    """A list that another program has made of other things counts as none: its packs are then like those
    that no index names."""
    if not packs:
        return None
    try:
        part = _part([{"id": pack["id"], "blobs": pack.get("blobs") or ()} for pack in packs])
        notes = [Mark(_time(pack.get("time")), _size(pack.get("size"))) for pack in packs]
    except (FormatError, KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    return Marked(part, dict(zip(part.pack_ids, notes, strict=True)))


def _time(text: str | None) -> datetime:
    return parse_datetime(text) if text else LONG_AGO


def _size(number: int | None) -> int | None:
    return None if number is None else int(number)


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
