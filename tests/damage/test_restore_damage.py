"""What can still be restored from a damaged vault, and how the rest is named."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from protectd.common.errors import ProtectdError
from protectd.common.reports import SaveReport
from protectd.common.units import KIB, MIB
from protectd.vault.engine import VaultEngine
from protectd.vault.errors import VaultError
from protectd.vault.index import encode_index
from protectd.vault.options import EngineOptions
from protectd.vault.pack import DATA, TREE, BlobEntry, pack_key
from protectd.vault.repository import INDEX
from tests.fakes.engines import Rig, kinds
from tests.fakes.vault_kit import blob_id, make_pack


@pytest.fixture(scope="module")
def engine() -> Iterator[VaultEngine]:
    made = VaultEngine(EngineOptions(node="test", workers=2, pack_bytes=MIB))
    yield made
    made.close()


@pytest.fixture
def rig(engine: VaultEngine, tmp_path: Path) -> Rig:
    rig = Rig(engine, tmp_path)
    chance = random.Random(4)
    for number in range(10):
        rig.file(f"d{number % 3}/large{number}", chance.randbytes(2 * MIB))
        rig.file(f"d{number % 3}/small{number}", chance.randbytes(5 * KIB))
    os.link(rig.source / "d0" / "large0", rig.source / "d1" / "link to large0")
    return rig


@pytest.fixture
def saved(rig: Rig) -> SaveReport:
    return rig.save()


def pack_of(rig: Rig, plain: bytes, kind: str = DATA) -> tuple[bytes, BlobEntry]:
    """Where a blob lies."""
    return rig.repository.load_index().copies(kind, blob_id(plain))[0]


def path_of(rig: Rig, pack_id: bytes) -> Path:
    return rig.top / "vault" / pack_key(pack_id)


def flip(path: Path, offset: int) -> None:
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def good_files(rig: Rig) -> set[str]:
    """Names of restored files, each proven to be what was saved."""
    restored = rig.top / "restored"
    names = set()
    for path in restored.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (rig.source / path.relative_to(restored)).read_bytes()
            names.add(path.name)
    return names


def every_file(rig: Rig) -> set[str]:
    return {path.name for path in rig.source.rglob("*") if path.is_file()}


def test_a_changed_byte_costs_the_files_that_need_its_blob_and_no_other(rig: Rig, saved: SaveReport) -> None:
    pack_id, entry = pack_of(rig, (rig.source / "d1" / "small4").read_bytes())
    flip(path_of(rig, pack_id), entry.offset + 100)
    report = rig.restore(saved)
    assert kinds(report.issues) == {"small4": "damaged"}
    assert good_files(rig) == every_file(rig) - {"small4"}
    assert report.files == len(every_file(rig)) - 1


def test_a_damaged_large_file_is_left_out_with_its_other_names(rig: Rig, saved: SaveReport) -> None:
    content = (rig.source / "d0" / "large0").read_bytes()
    for pack_id, entries in rig.repository.load_index().packs().items():
        for entry in entries:
            if entry.kind == DATA and entry.size > 5 * KIB and _is_of(rig, pack_id, entry, content):
                flip(path_of(rig, pack_id), entry.offset + entry.length // 2)
    report = rig.restore(saved)
    assert kinds(report.issues) == {"large0": "damaged", "link to large0": "damaged"}
    assert good_files(rig) == every_file(rig) - {"large0", "link to large0"}


def _is_of(rig: Rig, pack_id: bytes, entry: BlobEntry, content: bytes) -> bool:
    return rig.repository.load_blob(DATA, entry.id) in content


def test_a_missing_pack_costs_what_is_in_it(rig: Rig, saved: SaveReport) -> None:
    pack_id, _ = pack_of(rig, (rig.source / "d1" / "small4").read_bytes())
    path_of(rig, pack_id).unlink()
    report = rig.restore(saved)
    assert set(kinds(report.issues).values()) == {"damaged"}
    assert "small4" in kinds(report.issues)
    assert good_files(rig) == every_file(rig) - kinds(report.issues).keys()


def test_a_cut_pack_costs_its_end(rig: Rig, saved: SaveReport) -> None:
    pack_id, entry = pack_of(rig, (rig.source / "d1" / "small4").read_bytes())
    path_of(rig, pack_id).chmod(0o600)
    os.truncate(path_of(rig, pack_id), entry.offset + entry.length - 1)
    report = rig.restore(saved)
    assert "small4" in kinds(report.issues)
    assert good_files(rig) == every_file(rig) - kinds(report.issues).keys()


def test_another_copy_of_a_blob_stands_in(rig: Rig, saved: SaveReport) -> None:
    plain = (rig.source / "d1" / "small4").read_bytes()
    pack_id, entry = pack_of(rig, plain)
    copy_id, raw, entries = make_pack(rig.repository, [(DATA, plain)])
    rig.bank.put(pack_key(copy_id), raw)
    for json in encode_index({copy_id: entries}):
        rig.repository.save_unpacked(INDEX, json)
    for each, place in rig.repository.load_index().copies(DATA, blob_id(plain)):
        if each == pack_id:
            flip(path_of(rig, each), place.offset + 50)
    assert rig.restore(saved).issues == ()
    assert good_files(rig) == every_file(rig)


def test_a_lost_index_costs_files_and_says_which(rig: Rig, saved: SaveReport) -> None:
    data = {
        pack_id: entries
        for pack_id, entries in rig.repository.load_index().packs().items()
        if entries[0].kind == TREE
    }
    for item in list(rig.bank.list("index")):
        rig.bank.delete(item.key)
    for json in encode_index(data):
        rig.repository.save_unpacked(INDEX, json)
    report = rig.restore(saved)
    assert kinds(report.issues).keys() == every_file(rig)
    assert report.files == 0 and report.directories == 4


def test_a_damaged_subtree_costs_one_directory(rig: Rig, saved: SaveReport) -> None:
    index = rig.repository.load_index()
    (pack_id,) = (pack_id for pack_id, entries in index.packs().items() if entries[0].kind == TREE)
    smallest = min(index.packs()[pack_id], key=lambda entry: entry.offset)
    flip(path_of(rig, pack_id), smallest.offset + 40)
    report = rig.restore(saved)
    assert len(report.issues) == 1 and report.issues[0].kind == "damaged"
    lost = os.path.basename(report.issues[0].path)
    assert good_files(rig) == {p.name for p in rig.source.rglob("*") if p.is_file() and p.parent.name != lost}


@pytest.mark.parametrize("kind", ["snapshots", "index", "config"])
def test_a_changed_byte_in_what_holds_all_together_stops_the_restore(
    rig: Rig, saved: SaveReport, kind: str
) -> None:
    path = rig.top / "vault" / kind
    flip(path if path.is_file() else next(path.iterdir()), 40)
    with pytest.raises(VaultError):
        rig.restore(saved)
    assert not (rig.top / "restored").exists()
    assert rig.locks() == []


def test_a_check_names_what_a_restore_would_miss(rig: Rig, saved: SaveReport) -> None:
    pack_id, entry = pack_of(rig, (rig.source / "d1" / "small4").read_bytes())
    flip(path_of(rig, pack_id), entry.offset + 100)
    assert rig.session.check([saved.snapshot_id], read_data=False).ok
    errors = rig.session.check([saved.snapshot_id], read_data=True).errors
    assert any(entry.id.hex() in error for error in errors)
    assert all(pack_id.hex() in error for error in errors)


def test_a_key_of_another_vault_opens_nothing(engine: VaultEngine, rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Rig(engine, tmp_path / "other")
    with (
        engine.session(rig.bank, other.repository.key) as session,
        pytest.raises(ProtectdError),
    ):
        session.save_tree(str(rig.source), tags=[])
    assert rig.locks() == []
