from __future__ import annotations

import json
import os
import pickle
import random
import tracemalloc
from collections.abc import Iterator

import numpy as np
import orjson
import pytest

from protectd.vault.errors import FormatError
from protectd.vault.index import (
    MAX_BLOBS,
    BlobIndex,
    IndexPart,
    KnownBlobs,
    decode_index,
    decode_part,
    encode_index,
    part_of,
)
from protectd.vault.pack import DATA, TREE, BlobEntry, pack_bytes

Packs = dict[bytes, list[BlobEntry]]


def _packs(count: int, blobs: int, kind: str = DATA) -> Packs:
    return {os.urandom(32): _entries([os.urandom(32) for _ in range(blobs)], kind) for _ in range(count)}


def _entries(ids: list[bytes], kind: str = DATA) -> list[BlobEntry]:
    entries = []
    offset = 0
    for number, blob_id in enumerate(ids):
        length = 33 + random.randrange(1000)
        entries.append(BlobEntry(kind, blob_id, offset, length, None if number % 3 == 0 else length * 2))
        offset += length
    return entries


def test_an_index_file_reads_back() -> None:
    packs = _packs(5, 20) | _packs(2, 7, TREE)
    (raw,) = encode_index(packs)
    assert decode_index(raw) == packs


def test_an_index_file_has_the_bytes_of_the_format() -> None:
    packs = {b"p" * 32: [BlobEntry(DATA, b"a" * 32, 0, 40, 100), BlobEntry(TREE, b"b" * 32, 40, 50, None)]}
    assert encode_index(packs) == [
        b'{"packs":[{"id":"%s","blobs":[{"id":"%s","type":"data","offset":0,"length":40,"uncompressed_length":100},'
        b'{"id":"%s","type":"tree","offset":40,"length":50}]}]}\n' % (b"70" * 32, b"61" * 32, b"62" * 32)
    ]


def test_no_file_has_more_than_50_000_blobs_and_no_pack_is_split() -> None:
    packs = _packs(7, 20_000)
    files = [decode_index(raw) for raw in encode_index(packs)]
    assert [sum(map(len, file.values())) for file in files] == [40_000, 40_000, 40_000, 20_000]
    assert {pack: entries for file in files for pack, entries in file.items()} == packs
    huge = _packs(1, MAX_BLOBS + 1)
    assert len(encode_index(huge)) == 1
    assert encode_index({}) == []


def test_every_blob_is_found_and_no_other() -> None:
    packs = _packs(4, 50) | _packs(4, 50, TREE)
    index = BlobIndex.of(packs)
    assert len(index) == 400
    for pack_id, entries in packs.items():
        for entry in entries:
            assert index.lookup(entry.kind, entry.id) == (pack_id, entry)
            assert (DATA if entry.kind == TREE else TREE, entry.id) not in index
    assert index.lookup(DATA, os.urandom(32)) is None
    assert sorted(index) == sorted((pack, entry) for pack, entries in packs.items() for entry in entries)
    assert index.packs() == packs


def test_a_blob_has_all_its_copies_and_a_pack_listed_twice_counts_once() -> None:
    shared = os.urandom(32)
    packs = {bytes([n]) * 32: _entries([os.urandom(32), shared]) for n in (1, 2)}
    packs[b"t" * 32] = _entries([shared], TREE)
    index = BlobIndex([part_of(packs), *(decode_part(raw) for raw in encode_index(packs)), part_of(packs)])
    assert len(index) == 5
    assert {pack for pack, _ in index.copies(DATA, shared)} == {b"\x01" * 32, b"\x02" * 32}
    assert [pack for pack, _ in index.copies(TREE, shared)] == [b"t" * 32]
    assert index.packs() == packs


def test_ids_that_begin_alike_are_told_apart() -> None:
    ids = [bytes(8) + os.urandom(24) for _ in range(20)] + [bytes(31) + bytes([n]) for n in range(1, 20)]
    index = BlobIndex.of({b"p" * 32: _entries(ids), b"q" * 32: _entries(ids[::2])})
    for number, blob_id in enumerate(ids):
        found = index.lookup(DATA, blob_id)
        assert found is not None and found[1].id == blob_id
        assert len(index.copies(DATA, blob_id)) == (2 if number % 2 == 0 else 1)
        assert (DATA, blob_id) in index
    assert (DATA, bytes(8) + b"\xff" * 24) not in index
    groups = index.columns()[0]
    assert len(np.unique(groups)) == len(ids)
    assert index.rows_of(DATA, ids).min() >= 0


def test_many_are_asked_for_at_once() -> None:
    packs = _packs(3, 100)
    index = BlobIndex.of(packs)
    wanted = [entry for entries in packs.values() for entry in entries]
    random.shuffle(wanted)
    asked = [entry.id for entry in wanted] + [os.urandom(32), bytes(32), b"\xff" * 32]
    rows = index.rows_of(DATA, asked)
    assert (rows[-3:] == -1).all()
    assert [index.entry_at(row)[1] for row in rows[:-3]] == wanted
    assert index.sizes_at(rows[:-3]).tolist() == [entry.size for entry in wanted]
    assert (index.rows_of(TREE, asked) == -1).all()


def test_sizes_of_packs_are_those_of_their_entries() -> None:
    packs = _packs(3, 10) | {b"e" * 32: []}
    assert BlobIndex.of(packs).pack_sizes() == {pack: pack_bytes(entries) for pack, entries in packs.items()}


def test_an_empty_index_answers() -> None:
    for index in (BlobIndex([]), BlobIndex.of({}), BlobIndex([decode_part(b'{"packs":[]}')])):
        assert index.lookup(DATA, bytes(32)) is None
        assert index.rows_of(DATA, [bytes(32)]).tolist() == [-1]
        assert index.rows_of(DATA, []).tolist() == []
        assert index.packs() == {} and index.pack_sizes() == {} and list(index) == []
        assert len(index.known(DATA)) == 0
        assert bytes(32) not in index.known(DATA)


def test_an_index_takes_at_most_64_bytes_a_blob_and_crosses_process_borders() -> None:
    packs = _packs(10, 2000)
    index = BlobIndex.of(packs)
    raw = pickle.dumps(index)
    assert len(raw) / len(index) < 64
    assert pickle.loads(raw).packs() == packs


def test_known_blobs_are_16_bytes_each_and_read_from_a_shared_buffer() -> None:
    packs = _packs(2, 300) | _packs(2, 300, TREE)
    known = BlobIndex.of(packs).known(DATA)
    buffer = known.to_bytes()
    assert len(buffer) == 16 * 600
    again = KnownBlobs.from_buffer(memoryview(buffer))
    for entries in packs.values():
        for entry in entries:
            assert (entry.id in again) == (entry.kind == DATA) == (entry.id in known)
    assert again.have_all([e.id for entries in list(packs.values())[:2] for e in entries])
    assert not again.have_all([os.urandom(32)])


GOOD = {"id": "ab" * 32, "type": "data", "offset": 0, "length": 50, "uncompressed_length": 20}


@pytest.mark.parametrize(
    "change",
    [
        {"id": "ab"},
        {"id": 5},
        {"id": "zz" * 32},
        {"type": "other"},
        {"offset": -1},
        {"offset": 2**32},
        {"offset": "1"},
        {"offset": 1.5},
        {"uncompressed_length": "20"},
        {"length": 32},
        {"length": None},
        {"length": 2**70},
    ],
)
def test_an_impossible_entry_is_refused(change: dict[str, object]) -> None:
    raw = json.dumps({"packs": [{"id": "cd" * 32, "blobs": [GOOD | change]}]}).encode()
    with pytest.raises(FormatError):
        decode_index(raw)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"packs":[{"id":"x","blobs":[]}]}', b'{"packs":[5]}'])
def test_rubbish_is_refused(raw: bytes) -> None:
    with pytest.raises(FormatError):
        decode_index(raw)


def test_fields_of_other_programs_are_ignored() -> None:
    raw = orjson.dumps(
        {
            "supersedes": ["ab"],
            "packs": [{"id": "cd" * 32, "blobs": [GOOD | {"new": 1}], "size": 5}],
            "packs_to_delete": [{"id": "x"}],
        }
    )
    assert decode_index(raw) == {b"\xcd" * 32: [BlobEntry(DATA, b"\xab" * 32, 0, 50, 20)]}
    assert decode_index(b'{"packs":null}') == {}


def test_takes_at_most_64_bytes_a_blob_and_little_more_while_it_is_made() -> None:
    blobs, files = 20_000, 25

    def parts() -> Iterator[IndexPart]:
        for number in range(files):
            packs = np.repeat(np.arange(20, dtype=np.uint32), blobs // 20)
            ids = np.frombuffer(os.urandom(32 * blobs), np.uint8).reshape(blobs, 32)
            kinds, numbers = np.zeros(blobs, np.uint8), np.ones((blobs, 3), np.uint32)
            yield IndexPart(
                [b"%32d" % (number * 20 + pack) for pack in range(20)], packs, kinds, ids, numbers
            )

    tracemalloc.start()
    try:
        index = BlobIndex(parts())
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(index) == blobs * files
    assert held / len(index) < 64
    assert peak / len(index) < 100
