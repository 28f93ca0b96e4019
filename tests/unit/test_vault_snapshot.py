from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from protectd.vault.errors import FormatError
from protectd.vault.snapshot import Snapshot, decode_snapshot

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=UTC)
TREE = "ab" * 32


def test_a_snapshot_is_written_in_the_order_of_the_format_without_empty_fields() -> None:
    snapshot = Snapshot(MOMENT, TREE, ("/a b",), "host", "root", tags=("one", "two"), parent="cd" * 32)
    assert snapshot.encode() == (
        b'{"time":"2026-01-02T03:04:05.0006Z","parent":"%s","tree":"%s","paths":["/a b"],"hostname":"host",'
        b'"username":"root","tags":["one","two"]}' % (b"cd" * 32, b"ab" * 32)
    )
    assert decode_snapshot(snapshot.encode()) == snapshot


def test_a_snapshot_keeps_all_it_has() -> None:
    snapshot = Snapshot(MOMENT, TREE, ("/a",), "h", "u", 5, 6, ("t",), "cd" * 32, "ef" * 32, "12" * 32)
    assert decode_snapshot(snapshot.encode(), "12" * 32) == snapshot
    assert snapshot.tree_id == bytes.fromhex(TREE)


def test_a_path_that_is_no_utf8_is_written_as_text() -> None:
    snapshot = Snapshot(MOMENT, TREE, (os.fsdecode(b"/caf\xe9"),))
    assert decode_snapshot(snapshot.encode()).paths == ("/caf\ufffd",)


def test_fields_of_newer_programs_are_ignored() -> None:
    raw = b'{"time":"2026-01-02T03:04:05+01:00","tree":"%s","paths":null,"summary":{"a":1}}' % TREE.encode()
    assert decode_snapshot(raw).time == datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b'{"time":"2026-01-02T03:04:05Z","tree":null,"paths":[]}',
        b'{"time":"2026-01-02T03:04:05Z","tree":"ab","paths":[]}',
        b'{"time":"soon","tree":"%s","paths":[]}' % TREE.encode(),
        b'{"time":"2026-01-02T03:04:05Z","tree":"%s","parent":"../x"}' % TREE.encode(),
        b'{"time":"2026-01-02T03:04:05Z","tree":"%s","paths":5}' % TREE.encode(),
    ],
)
def test_what_is_no_snapshot_is_refused(raw: bytes) -> None:
    with pytest.raises(FormatError):
        decode_snapshot(raw)
