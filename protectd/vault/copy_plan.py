"""What a copy has to move: which snapshots, which blobs, in which portions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import orjson

from protectd.common.units import KIB, MIB
from protectd.vault.index import BlobIndex, Rows
from protectd.vault.index_files import KINDS
from protectd.vault.pack import BlobEntry
from protectd.vault.snapshot import Snapshot
from protectd.vault.tree_graph import Mask

_ROWS = 65_536
_JOB_BLOBS = 256
"""A job with so many, and a reply that finds fault with each, still fit into a socket's buffer."""

_JOB_BYTES = 32 * MIB
_MAX_GAP_BYTES = 256 * KIB

Portion = tuple[bytes, list[BlobEntry]]


# --- snapshots ---


def original_of(snapshot: Snapshot) -> str:
    """The id that a snapshot and all copies of it are known by."""
    return snapshot.original or snapshot.id


def find_copy(snapshot: Snapshot, there: Iterable[Snapshot]) -> Snapshot | None:
    """That of `there` which is the same snapshot, copied from here, to here, or both from a third vault."""
    for other in there:
        if original_of(other) == original_of(snapshot) and _same(other, snapshot):
            return other
    return None


def _same(one: Snapshot, other: Snapshot) -> bool:
    return _core(one) == _core(other)


def _core(snapshot: Snapshot) -> Snapshot:
    """All but what a copy has of its own."""
    tags, paths = tuple(sorted(snapshot.tags)), tuple(sorted(snapshot.paths))
    return replace(snapshot, id="", parent=None, original=None, tags=tags, paths=paths)


def tagged(snapshot: Snapshot, tags: Sequence[str]) -> Snapshot:
    """As it is, with other tags."""
    return replace(snapshot, tags=tuple(tags))


def copied_json(raw: bytes, original: str, tags: Sequence[str] | None = None) -> bytes:
    """The JSON of a copy: as it was, fields of other programs included, but without the parent, which the
    other vault need not have.

    :param tags: in place of its own.
    """
    fields = orjson.loads(raw)
    fields.pop("parent", None)
    own = {} if tags is None else {"tags": list(tags)}
    return orjson.dumps(fields | own | {"original": original})


# --- blobs ---


def missing_rows(source: BlobIndex, needed: Mask, target: BlobIndex, sizes: Mapping[bytes, int]) -> Rows:
    """Rows of `source` whose blobs are needed and are not in the target.

    :param sizes: of the target's packs in its bank. What lies in one that is gone or has another size than
        the index says counts as missing.
    """
    expected = target.pack_sizes()
    sound = np.array([sizes.get(pack_id) == expected[pack_id] for pack_id in target.pack_ids], np.bool_)
    rows = np.flatnonzero(needed)
    parts = [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]
    found = [part[~_present(source, part, target, sound)] for part in parts]
    return np.concatenate([np.empty(0, np.intp), *found])


def _present(source: BlobIndex, rows: Rows, target: BlobIndex, sound: Mask) -> Mask:
    entries = source.entries_at(rows)
    present = np.zeros(len(rows), np.bool_)
    packs = target.columns()[1]
    for kind in KINDS:
        places = [place for place, entry in enumerate(entries) if entry.kind == kind]
        there = target.rows_of(kind, [entries[place].id for place in places])
        found = there >= 0
        found[found] = sound[packs[there[found]]]
        present[places] = found
    return present


def portions(index: BlobIndex, rows: Rows) -> Iterator[Portion]:
    """Pack by pack, by offset: each portion small enough for a job and worth one read."""
    for pack_id, entries in index.each_pack(rows=rows):
        yield from ((pack_id, portion) for portion in _cut(entries))


def _cut(entries: Sequence[BlobEntry]) -> Iterator[list[BlobEntry]]:
    portion: list[BlobEntry] = []
    for entry in entries:
        if portion and not _goes_with(portion, entry):
            yield portion
            portion = []
        portion.append(entry)
    if portion:
        yield portion


def _goes_with(portion: Sequence[BlobEntry], entry: BlobEntry) -> bool:
    gap = entry.offset - portion[-1].offset - portion[-1].length
    length = entry.offset + entry.length - portion[0].offset
    return len(portion) < _JOB_BLOBS and gap <= _MAX_GAP_BYTES and length <= _JOB_BYTES
