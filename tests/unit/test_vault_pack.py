from __future__ import annotations

import os

import pytest
import zstandard

from protectd.vault.errors import FormatError, UnitDamaged, VaultDamaged
from protectd.vault.pack import (
    DATA,
    TREE,
    BlobEntry,
    build_header,
    header_bytes,
    open_blob,
    open_header,
    pack_bytes,
    parse_header,
)
from protectd.vault.repository import Repository
from tests.fakes.vault_kit import blob_id, make_pack, new_vault

ENTRIES = [
    BlobEntry(DATA, b"a" * 32, 0, 100, 500),
    BlobEntry(TREE, b"b" * 32, 100, 33, None),
    BlobEntry(DATA, b"c" * 32, 133, 2**32 - 1, None),
    BlobEntry(TREE, b"d" * 32, 133 + 2**32 - 1, 40, 2**32 - 1),
]


@pytest.fixture
def vault() -> Repository:
    return new_vault()


def test_a_header_reads_back_with_offsets_that_are_running_sums() -> None:
    plain = build_header(ENTRIES)
    assert parse_header(plain) == ENTRIES
    assert len(plain) == header_bytes(ENTRIES) == 41 + 37 + 37 + 41


def test_a_header_has_the_bytes_of_the_format() -> None:
    assert build_header(ENTRIES[:2]) == (
        b"\x02" + (100).to_bytes(4, "little") + (500).to_bytes(4, "little") + b"a" * 32
        + b"\x01" + (33).to_bytes(4, "little") + b"b" * 32
    )  # fmt: skip


@pytest.mark.parametrize("cut", [1, 4, 5, 36, 40, 42, 77])
def test_a_torn_header_is_refused(cut: int) -> None:
    with pytest.raises(FormatError):
        parse_header(build_header(ENTRIES[:2])[:cut])


@pytest.mark.parametrize(
    "plain", [b"", b"\x04" + bytes(40), build_header([BlobEntry(DATA, b"a" * 32, 0, 32, None)])]
)
def test_a_header_without_blobs_or_with_an_unknown_type_is_refused(plain: bytes) -> None:
    with pytest.raises(FormatError):
        parse_header(plain)


@pytest.mark.parametrize("compress", [True, False])
def test_a_pack_gives_back_its_blobs(vault: Repository, compress: bool) -> None:
    texts = [b"x", b"text" * 1000, os.urandom(5000)]
    pack_id, raw, entries = make_pack(vault, [(DATA, text) for text in texts], compress=compress)
    assert open_header(vault.sealer, raw) == entries
    assert len(raw) == pack_bytes(entries)
    assert pack_id == blob_id(raw)
    for entry, text in zip(entries, texts, strict=True):
        unit = raw[entry.offset : entry.offset + entry.length]
        assert open_blob(vault.sealer, zstandard.ZstdDecompressor(), entry, unit) == text
        assert entry.size == len(text)


def test_a_frame_without_its_content_size_opens_too(vault: Repository) -> None:
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(b"text" * 100)
    unit = vault.sealer.seal(frame)
    entry = BlobEntry(DATA, blob_id(b"text" * 100), 0, len(unit), 400)
    assert open_blob(vault.sealer, zstandard.ZstdDecompressor(), entry, unit) == b"text" * 100


@pytest.mark.parametrize(
    ("plain_length", "with_size"),
    [(1, True), (399, True), (401, True), (2**32 - 2, True), (1, False), (399, False), (401, False)],
)
def test_a_blob_of_another_length_than_claimed_is_damaged(
    vault: Repository, plain_length: int, with_size: bool
) -> None:
    frame = zstandard.ZstdCompressor(write_content_size=with_size).compress(b"text" * 100)
    unit = vault.sealer.seal(frame)
    entry = BlobEntry(DATA, blob_id(b"text" * 100), 0, len(unit), plain_length)
    with pytest.raises(VaultDamaged, match="data blob"):
        open_blob(vault.sealer, zstandard.ZstdDecompressor(), entry, unit)


def test_a_blob_under_another_id_is_damaged(vault: Repository) -> None:
    unit = vault.sealer.seal(b"text")
    entry = BlobEntry(DATA, blob_id(b"other"), 0, len(unit), None)
    with pytest.raises(VaultDamaged, match="another hash"):
        open_blob(vault.sealer, zstandard.ZstdDecompressor(), entry, unit)


def test_bytes_after_the_frame_are_damage(vault: Repository) -> None:
    unit = vault.sealer.seal(zstandard.ZstdCompressor().compress(b"text") + b"more")
    entry = BlobEntry(DATA, blob_id(b"text"), 0, len(unit), 4)
    with pytest.raises(VaultDamaged, match="decompress"):
        open_blob(vault.sealer, zstandard.ZstdDecompressor(), entry, unit)


def test_a_pack_with_a_gap_or_a_wrong_header_length_is_refused(vault: Repository) -> None:
    _, raw, entries = make_pack(vault, [(DATA, b"text")])
    start = entries[0].length
    with pytest.raises(FormatError, match="do not fill"):
        open_header(vault.sealer, raw[:start] + b"gap" + raw[start:])
    for length in (0, 32, 2**32 - 1):
        with pytest.raises(FormatError, match="length of its header"):
            open_header(vault.sealer, raw[:-4] + length.to_bytes(4, "little"))
    with pytest.raises(UnitDamaged):
        open_header(vault.sealer, raw[: start + 20] + b"\x00\x01" + raw[start + 22 :])
    for short in (b"", b"\x01", raw[-4:]):
        with pytest.raises(FormatError):
            open_header(vault.sealer, short)
