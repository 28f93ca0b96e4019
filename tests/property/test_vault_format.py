"""What was written reads back; what was not written is refused with an error of the vault, never another."""

from __future__ import annotations

import hashlib
import stat
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from protectd.plugin.banks.memory import MemoryBank
from protectd.vault.check import check_pack
from protectd.vault.config import VaultConfig, decode_config
from protectd.vault.crypto import MasterKey, Sealer
from protectd.vault.errors import FormatError, UnitDamaged, VaultError
from protectd.vault.gofmt import (
    clean_text,
    go_quote,
    go_time,
    go_unquote,
    name_json,
    parse_go_time,
    string_json,
)
from protectd.vault.index import BlobIndex, KnownBlobs, decode_index, decode_part, encode_index
from protectd.vault.index_files import Mark, encode_marks
from protectd.vault.keys import create_key_file, open_key_file
from protectd.vault.lock_files import Lock, decode_lock
from protectd.vault.pack import (
    DATA,
    TREE,
    BlobEntry,
    build_header,
    open_blob,
    open_header,
    pack_key,
    parse_header,
)
from protectd.vault.packer import Packer
from protectd.vault.snapshot import Snapshot, decode_snapshot
from protectd.vault.tree import Node, decode_tree, encode_node, encode_tree, split_tree
from tests.fakes.vault_kit import CHEAP

KEY = MasterKey.generate()
NAMES = st.one_of(
    st.binary(min_size=1, max_size=60),
    st.text(min_size=1, max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")),
).filter(lambda name: name not in (b".", b"..") and b"/" not in name and b"\0" not in name)
TARGETS = st.binary(max_size=40).filter(lambda target: b"\0" not in target)
IDS = st.binary(min_size=32, max_size=32).filter(any)
MOMENTS = st.integers(-62_167_219_200 * 10**9, 253_402_300_799 * 10**9 + 999_999_999)
NUMBERS = st.integers(0, 2**63)
KINDS = st.sampled_from([DATA, TREE])


@given(st.binary(max_size=200))
def test_any_bytes_survive_quoting_and_json(raw: bytes) -> None:
    assert go_unquote(go_quote(raw)) == raw
    assert go_unquote(orjson.loads(b'"%s"' % name_json(raw))) == raw


@given(st.text(max_size=100))
def test_any_text_survives_json(text: str) -> None:
    raw = text.encode("utf-8", "ignore")
    assert orjson.loads(b'"%s"' % string_json(raw)) == raw.decode()


@given(st.text(max_size=60))
def test_any_text_unquotes_or_is_refused(text: str) -> None:
    try:
        go_unquote(text)
    except FormatError:
        pass
    except UnicodeEncodeError:
        pytest.fail("a lone surrogate went through")


@given(MOMENTS)
def test_any_moment_of_four_digit_years_survives(moment: int) -> None:
    assert parse_go_time(go_time(moment).decode()) == moment


@st.composite
def nodes(draw: st.DrawFn) -> Node:
    kind = draw(st.sampled_from(["file", "dir", "symlink", "fifo", "chardev", "dev"]))
    bits = {
        "file": stat.S_IFREG, "dir": stat.S_IFDIR, "symlink": stat.S_IFLNK, "fifo": stat.S_IFIFO,
        "chardev": stat.S_IFCHR, "dev": stat.S_IFBLK,
    }  # fmt: skip
    name = st.text(max_size=9).map(lambda text: text.replace("\0", "").encode("utf-8", "ignore"))
    attribute = st.tuples(name, st.binary(max_size=9))
    return Node(
        name=draw(NAMES),
        type=kind,
        mode=bits[kind] | draw(st.integers(0, 0o7777)),
        mtime_ns=draw(MOMENTS),
        atime_ns=draw(MOMENTS),
        ctime_ns=draw(MOMENTS),
        uid=draw(st.integers(0, 2**32 - 1)),
        gid=draw(st.integers(0, 2**32 - 1)),
        user=draw(st.text(max_size=5).map(lambda text: text.encode("utf-8", "ignore").decode())),
        inode=draw(NUMBERS),
        device_id=draw(NUMBERS),
        size=draw(NUMBERS),
        links=draw(NUMBERS),
        link_target=draw(TARGETS) if kind == "symlink" else b"",
        xattrs=draw(st.lists(attribute, max_size=3)) or (),
        content=draw(st.lists(IDS, max_size=3)) if kind == "file" else None,
        subtree=draw(IDS) if kind == "dir" else None,
    )


@given(st.lists(nodes(), max_size=6))
def test_any_tree_reads_back_and_splits_into_its_nodes(some: list[Node]) -> None:
    raw = encode_tree(map(encode_node, some))
    assert decode_tree(raw) == some
    assert split_tree(raw) == [encode_node(node) for node in some]
    assert orjson.loads(raw)["nodes"] is not None


@given(st.lists(nodes(), min_size=1, max_size=2), st.data())
def test_a_tree_with_changed_bytes_is_a_tree_or_refused(some: list[Node], data: st.DataObject) -> None:
    raw = bytearray(encode_tree(map(encode_node, some)))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode_tree(bytes(raw))
    except FormatError:
        return
    for node in found:
        assert node.name not in (b"", b".", b"..") and b"/" not in node.name


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
FIELDS = [
    "nodes", "name", "type", "mode", "mtime", "content", "subtree", "packs", "id", "blobs", "offset",
    "length", "uncompressed_length", "time", "tree", "paths", "tags", "parent", "version", "size",
    "chunker_polynomial", "kdf", "N", "r", "p", "salt", "data", "linktarget", "extended_attributes",
    "packs_to_delete", "exclusive", "hostname", "username", "pid", "protectd", "does",
]  # fmt: skip
WORDS = ["file", "dir", "symlink", "data", "tree", "scrypt", "ab" * 32, "2020-01-01T00:00:00Z", 2, 0, "AA=="]
VALUES = st.one_of(JSON, st.sampled_from(WORDS))
SHAPES: st.SearchStrategy[Any] = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=12),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), SHAPES, max_size=10) | SHAPES)
def test_any_json_is_understood_or_refused(value: Any) -> None:
    raw = orjson.dumps(value)
    for decode in (decode_tree, decode_index, decode_snapshot, decode_config, _open_key, _decode_lock):
        _refused_or_fine(decode, raw)


@given(st.binary(max_size=300))
def test_any_bytes_are_understood_or_refused(raw: bytes) -> None:
    jsons = (decode_tree, decode_index, decode_snapshot, decode_config, _open_key, _decode_lock)
    for decode in (*jsons, parse_header):
        _refused_or_fine(decode, raw)


def _decode_lock(raw: bytes) -> Any:
    return decode_lock(raw, "name")


def _open_key(raw: bytes) -> Any:
    return open_key_file(raw, "password")


def _refused_or_fine(decode: Any, raw: bytes) -> None:
    try:
        decode(raw)
    except VaultError as error:
        assert str(error)


@given(
    st.lists(
        st.tuples(KINDS, IDS, st.integers(33, 2**20), st.none() | st.integers(1, 2**22)),
        min_size=1,
        max_size=20,
    )
)
def test_any_header_reads_back(blobs: list[tuple[str, bytes, int, int | None]]) -> None:
    entries, offset = [], 0
    for kind, blob_id, length, plain_length in blobs:
        entries.append(BlobEntry(kind, blob_id, offset, length, plain_length))
        offset += length
    assert parse_header(build_header(entries)) == entries


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=900), min_size=1, max_size=30), KINDS, st.integers(100, 3000))
def test_any_blobs_come_back_from_the_packs_they_went_into(
    blobs: list[bytes], kind: str, pack_bytes: int
) -> None:
    bank, sealer = MemoryBank(), Sealer(KEY)
    with closing(Packer(bank, sealer, kind=kind, pack_bytes=pack_bytes, level=1)) as packer:
        for plain in blobs:
            packer.add(hashlib.sha256(plain).digest(), plain)
        packer.flush()
        packer.settle()
        stored = packer.take_stored()
    found = []
    for pack in stored:
        raw = bank.get(pack_key(pack.id))
        assert pack.id == hashlib.sha256(raw).digest()
        assert open_header(sealer, raw) == parse_header(pack.header)
        for entry in open_header(sealer, raw):
            unit = raw[entry.offset : entry.offset + entry.length]
            found.append(open_blob(sealer, zstandard.ZstdDecompressor(), entry, unit))
    assert found == blobs


@given(st.binary(max_size=300))
def test_any_bytes_in_place_of_a_pack_are_reported(raw: bytes) -> None:
    sealer = Sealer(KEY)
    entries = [BlobEntry(DATA, b"a" * 32, 0, 50, 20)]
    assert check_pack(raw, b"p" * 32, entries, sealer)
    with pytest.raises(VaultError):
        open_header(sealer, raw)


@given(st.binary(max_size=500), st.data())
def test_any_plain_bytes_open_and_any_changed_bit_is_refused(plain: bytes, data: st.DataObject) -> None:
    unit = bytearray(Sealer(KEY).seal(plain))
    assert Sealer(KEY).open(unit) == plain
    unit[data.draw(st.integers(0, len(unit) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(UnitDamaged):
        Sealer(KEY).open(unit)


SHORT_IDS = st.integers(1, 40).map(lambda n: bytes([n % 3]) * 8 + bytes([n]) * 24)
"""Few different ones, many of which begin alike."""

PACKS = st.dictionaries(
    IDS,
    st.lists(st.tuples(KINDS, SHORT_IDS, st.none() | st.integers(1, 99)), min_size=1, max_size=8),
    max_size=6,
)


@given(PACKS, st.integers(1, 3))
def test_an_index_answers_as_a_dictionary_would(
    drawn: dict[bytes, list[tuple[str, bytes, int | None]]], times: int
) -> None:
    packs = {
        pack_id: [
            BlobEntry(kind, blob_id, place * 100, 100, plain)
            for place, (kind, blob_id, plain) in enumerate(blobs)
        ]
        for pack_id, blobs in drawn.items()
    }
    index = BlobIndex.of(packs)
    copies: dict[tuple[str, bytes], set[tuple[bytes, BlobEntry]]] = {}
    for pack_id, entries in packs.items():
        for entry in entries:
            copies.setdefault((entry.kind, entry.id), set()).add((pack_id, entry))
    for kind in (DATA, TREE):
        known = KnownBlobs.from_buffer(index.known(kind).to_bytes())
        for number in range(1, 42):
            blob_id = bytes([number % 3]) * 8 + bytes([number]) * 24
            wanted = copies.get((kind, blob_id), set())
            assert set(index.copies(kind, blob_id)) == wanted
            assert ((kind, blob_id) in index) == bool(wanted) == (blob_id in known)
            assert (index.rows_of(kind, [blob_id])[0] >= 0) == bool(wanted)
    assert index.packs() == packs
    for raw in encode_index(packs):
        assert decode_index(raw) == packs


@given(PACKS, st.datetimes(timezones=st.just(UTC)), st.none() | st.integers(0, 2**62))
def test_any_marks_read_back(
    drawn: dict[bytes, list[tuple[str, bytes, int | None]]], time: datetime, size: int | None
) -> None:
    packs = {
        pack_id: [BlobEntry(kind, blob_id, 0, 100, plain) for kind, blob_id, plain in blobs]
        for pack_id, blobs in drawn.items()
    }
    packs[b"in no index, " * 2 + b"ever.."] = []
    notes = dict.fromkeys(packs, Mark(time, size))
    (raw,) = encode_marks(packs, notes)
    part = decode_part(raw)
    assert part.pack_ids == [] and part.marked is not None
    assert part.marked.notes == notes
    assert part.marked.leaving() == drawn.keys()
    assert set(part.marked.part.pack_ids) == packs.keys()
    assert decode_index(raw) == {}


LINES = st.text(max_size=9).map(clean_text)


@given(st.datetimes(timezones=st.just(UTC)), st.booleans(), LINES, LINES, st.integers(0, 2**40), LINES, LINES)
def test_any_lock_reads_back(
    time: datetime, exclusive: bool, hostname: str, username: str, pid: int, own: str, does: str
) -> None:
    lock = Lock(time, exclusive, hostname, username, pid, "name", own, does if own else "")
    assert decode_lock(lock.encode(), "name") == lock


@given(
    st.datetimes(timezones=st.just(UTC)),
    IDS,
    st.lists(st.text(max_size=8).map(lambda text: text.encode("utf-8", "ignore").decode()), max_size=3),
)
def test_any_snapshot_reads_back(time: Any, tree: bytes, tags: list[str]) -> None:
    snapshot = Snapshot(time, tree.hex(), ("/a",), "host", "user", 1, 2, tuple(tags), parent=tree.hex())
    assert decode_snapshot(snapshot.encode()) == snapshot


@settings(max_examples=30)
@given(st.text(max_size=30))
def test_any_password_opens_its_key_file(password: str) -> None:
    _, raw = create_key_file(KEY, password, created=datetime.now(UTC), cost=CHEAP)
    assert open_key_file(raw, password) == KEY
    assert open_key_file(raw, password + "x") is None


@settings(max_examples=10)
@given(st.integers())
def test_every_generated_config_is_one(_: int) -> None:
    config = VaultConfig.generate()
    assert decode_config(config.encode()) == config
