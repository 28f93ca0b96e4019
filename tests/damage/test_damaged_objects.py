"""Issue 3, point 6 (b): flip, truncate, delete each kind of object; what is still readable is read, what is
not is named. And (f): wrong password, foreign key file, tampered byte anywhere: a clear error, nothing is
restored from it. restic judges as well: whatever its check finds, ours finds.
"""

from __future__ import annotations

import io
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from protectd.common.clock import SystemClock
from protectd.common.reports import RestoreOptions, SaveReport
from protectd.common.units import KIB
from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.plugin.base import BankPlugin
from protectd.vault import locks
from protectd.vault.crypto import MasterKey
from protectd.vault.engine import VaultEngine, VaultSession
from protectd.vault.errors import SnapshotNotFound, VaultDamaged, VaultError, WrongPassword
from protectd.vault.findings import MAKE_AGAIN, Damage
from protectd.vault.key_files import add_key, keys_of, list_keys
from protectd.vault.lock_files import Lock
from protectd.vault.options import EngineOptions
from protectd.vault.pack import DATA, TREE, pack_key
from protectd.vault.repository import INDEX, LOCKS, SNAPSHOTS, Repository
from tests.fakes.faults import FaultyBank
from tests.fakes.sampling import FULL, repeat, sample
from tests.fakes.vault_kit import CHEAP, ME, PASSWORD, Restic, new_vault

SECOND_PASSWORD = "another one"
OPTIONS = EngineOptions(node="test", workers=1, pack_bytes=16 * KIB, in_process=True)
BYTES_TRIED = 500

Files = dict[str, bytes]
Harm = Callable[[bytes, bytes], bytes | None]
"""From an object and another one of its kind to what lies in its place, or None for nothing."""


def flip(raw: bytes, place: int) -> bytes:
    changed = bytearray(raw)
    changed[place] ^= 0x10
    return bytes(changed)


HARM: dict[str, Harm] = {
    "first byte": lambda raw, other: flip(raw, 0),
    "early byte": lambda raw, other: flip(raw, len(raw) // 4),
    "middle byte": lambda raw, other: flip(raw, len(raw) // 2),
    "last byte": lambda raw, other: flip(raw, len(raw) - 1),
    "half": lambda raw, other: raw[: len(raw) // 2],
    "one byte less": lambda raw, other: raw[:-1],
    "one byte more": lambda raw, other: raw + b"\0",
    "empty": lambda raw, other: b"",
    "another's": lambda raw, other: other,
    "gone": lambda raw, other: None,
}

RESTIC_TRIES_AGAIN = ("half", "empty", "another's", "gone")
"""A pack that ends too early it reads again and again, for a minute and a half."""


@pytest.fixture(scope="module")
def engine() -> Iterator[VaultEngine]:
    """Alone in its vaults, so that it need not wait for others who may take a lock."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(locks, "_SETTLE_S", 0.0)
        yield VaultEngine(OPTIONS)


class Scene:
    """A vault of two checkpoints of a directory and one of a stream. Each has packs and an index file of its
    own; `mine` are the keys of the objects that the second one has made, by kind.
    """

    def __init__(self, engine: VaultEngine, top: Path) -> None:
        self.source = top / "source"
        chance = random.Random(7)
        for number in range(9):
            self._write(f"d{number % 3}/f{number}", chance.randbytes(4_000 + number))
        vault = new_vault(FilesystemBank(top / "original"))
        add_key(vault, SECOND_PASSWORD, ME, SystemClock(), cost=CHEAP)
        session = VaultSession(engine, vault.bank, vault.key)
        self.key = vault.key
        self.first, self._first_files = session.save_tree(str(self.source), tags=[]), contents(self.source)
        before = {item.key for item in vault.bank.list("")}
        self._write("d1/f1", chance.randbytes(5_000))
        self._write("d3/more", chance.randbytes(600_000))
        self.second, self._second_files = session.save_tree(str(self.source), tags=[]), contents(self.source)
        self.mine = self._by_kind(vault, {item.key for item in vault.bank.list("")} - before)
        self.text = chance.randbytes(30_000)
        self.stream = session.save_stream(io.BytesIO(self.text), "dump", tags=[])
        lock = Lock(SystemClock().now(), False, "elsewhere", "someone", 1)
        self.mine["lock"] = f"{LOCKS}/{vault.save_unpacked(LOCKS, lock.encode())}"

    def _write(self, name: str, content: bytes) -> None:
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def _by_kind(self, vault: Repository, keys: set[str]) -> dict[str, str]:
        packs = vault.load_index().packs()
        found = {"config": "config", "key": f"keys/{keys_of(vault.bank, PASSWORD)[0]}"}
        for kind in (DATA, TREE):
            of_kind = [pack_key(pack_id) for pack_id, entries in packs.items() if entries[0].kind == kind]
            found[kind] = sorted(keys.intersection(of_kind))[0]
        found["index"] = next(key for key in keys if key.startswith(INDEX))
        found["snapshot"] = f"{SNAPSHOTS}/{self.second.snapshot_id}"
        return found

    def files_of(self, saved: SaveReport) -> Files:
        return self._first_files if saved is self.first else self._second_files


def contents(top: Path) -> Files:
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def scene(engine: VaultEngine, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(engine, tmp_path_factory.mktemp("original"))


class Damaged:
    """A copy of the vault, to be damaged."""

    def __init__(self, scene: Scene, engine: VaultEngine, top: Path) -> None:
        self.scene = scene
        self.top = top
        self.path = top / "vault"
        shutil.copytree(scene.source.parent / "original", self.path, copy_function=os.link)
        (self.path / scene.mine["lock"]).unlink()
        self.bank = FilesystemBank(self.path)
        self.session = VaultSession(engine, self.bank, scene.key)

    def damage(self, kind: str, how: str) -> str:
        """Have one object of the second checkpoint damaged; its key."""
        key = self.scene.mine[kind]
        original = self.scene.source.parent / "original" / key
        others = sorted(set(original.parent.parent.rglob("*")) - {original})
        other = next(
            (path for path in others if path.is_file() and path.parent.parent == original.parent.parent), None
        )
        made = HARM[how](original.read_bytes(), other.read_bytes() if other else b"another")
        self.put(key, made)
        return key

    def put(self, key: str, raw: bytes | None) -> None:
        (self.path / key).unlink(missing_ok=True)
        if raw is not None:
            (self.path / key).write_bytes(raw)

    def restore(self, saved: SaveReport, name: str = "restored") -> str:
        """What is said of what does not come back. What comes back is as it was saved, and all that does not
        is named, or the restore refused."""
        target, wanted = self.top / name, self.scene.files_of(saved)
        try:
            report = self.session.restore_tree(
                saved.snapshot_id, saved.tree_id, str(self.scene.source), str(target), RestoreOptions()
            )
        except VaultError as error:
            assert not target.exists() or contents(target) == {}
            return str(error)
        found = contents(target)
        assert found == {path: content for path, content in wanted.items() if path in found}
        named = [os.path.relpath(issue.path, target) for issue in report.issues]
        for path in wanted.keys() - found.keys():
            assert any(path == each or path.startswith(f"{each}/") or each == "." for each in named), path
        return "; ".join(f"{issue.path}: {issue.reason}" for issue in report.issues)

    def restore_stream(self) -> bytes:
        pieces: list[bytes] = []
        saved = self.scene.stream
        self.session.restore_stream(saved.snapshot_id, saved.tree_id, "dump", pieces.append)
        return b"".join(pieces)

    def check(self) -> str:
        """What is found, "" for nothing."""
        try:
            return "; ".join(self.session.check(None, read_data=True).errors)
        except VaultError as error:
            return str(error)


@pytest.fixture
def damaged(scene: Scene, engine: VaultEngine, tmp_path: Path) -> Damaged:
    return Damaged(scene, engine, tmp_path)


def assert_others_are_whole(damaged: Damaged) -> None:
    assert damaged.restore(damaged.scene.first, "first") == ""
    assert contents(damaged.top / "first") == damaged.scene.files_of(damaged.scene.first)
    assert damaged.restore_stream() == damaged.scene.text


# --- each kind of object ---


@pytest.mark.parametrize("how", HARM)
@pytest.mark.parametrize("kind", ["index", "snapshot", TREE, DATA])
def test_damage_to_one_checkpoint_is_named_and_costs_no_other(
    damaged: Damaged, restic: str, kind: str, how: str
) -> None:
    key = damaged.damage(kind, how)
    name = os.path.basename(key)
    told = damaged.restore(damaged.scene.second)
    found = damaged.check()
    assert_others_are_whole(damaged)
    if kind == "index" and how == "gone":
        assert "in no index" in told and "no index" in found
    elif kind == "snapshot" and how == "gone":
        assert name in told and found == ""
    else:
        assert name in found
        assert name in told or contents(damaged.top / "restored") == damaged.scene.files_of(
            damaged.scene.second
        )
    if FULL or kind not in (DATA, TREE) or how not in RESTIC_TRIES_AGAIN:
        theirs = Restic(restic, damaged.path).run("check", "--read-data")
        assert theirs.returncode == 0 or found, theirs.stderr


@pytest.mark.parametrize("how", HARM)
@pytest.mark.parametrize("kind", ["index", "snapshot", TREE, DATA])
def test_a_copy_brings_into_safety_what_is_whole_and_names_the_rest(
    damaged: Damaged, engine: VaultEngine, kind: str, how: str
) -> None:
    key = damaged.damage(kind, how)
    other = new_vault(FilesystemBank(damaged.top / "other"))
    target = VaultSession(engine, other.bank, other.key)
    report = damaged.session.copy(target)
    copied = dict(report.copied)
    for saved in (damaged.scene.first, damaged.scene.stream):
        assert saved.snapshot_id in copied
    if damaged.scene.second.snapshot_id not in copied and (kind, how) != ("snapshot", "gone"):
        assert damaged.scene.second.snapshot_id in " ".join(report.errors)
    assert how == "gone" or kind != "index" or key in " ".join(report.hints)
    assert target.check(None, read_data=True).errors == ()


@pytest.mark.parametrize("how", HARM)
def test_what_a_damaged_data_pack_does_not_hold_comes_back(damaged: Damaged, how: str) -> None:
    damaged.damage(DATA, how)
    damaged.restore(damaged.scene.second)
    wanted = damaged.scene.files_of(damaged.scene.second)
    assert wanted.keys() - contents(damaged.top / "restored").keys() <= {"d1/f1", "d3/more"}


@pytest.mark.parametrize("how", HARM)
def test_without_its_config_a_vault_is_none_and_says_so(damaged: Damaged, how: str) -> None:
    damaged.damage("config", how)
    assert "config" in damaged.restore(damaged.scene.first)
    assert "config" in damaged.check()
    with pytest.raises(VaultError, match="config"):
        Repository.open(damaged.bank, PASSWORD)
    with pytest.raises(VaultError, match="config"):
        damaged.restore_stream()


@pytest.mark.parametrize("how", HARM)
def test_a_damaged_key_file_opens_nothing_and_another_one_everything(damaged: Damaged, how: str) -> None:
    key = damaged.damage("key", how)
    with pytest.raises((WrongPassword, VaultDamaged)) as caught:
        Repository.open(damaged.bank, PASSWORD)
    assert how in ("gone",) or os.path.basename(key) in str(caught.value)
    assert [bool(each.damage) for each in list_keys(damaged.bank)].count(True) == (how != "gone")
    assert Repository.open(damaged.bank, SECOND_PASSWORD).key == damaged.scene.key
    assert_others_are_whole(damaged)


@pytest.mark.parametrize("how", HARM)
def test_a_damaged_lock_stops_all_by_its_name_until_it_is_removed(damaged: Damaged, how: str) -> None:
    key = damaged.damage("lock", how)
    if how not in ("gone", "empty"):  # an empty one is none, as for restic
        assert key in damaged.restore(damaged.scene.first)
        assert key in damaged.check()
        damaged.bank.delete(key)
    assert_others_are_whole(damaged)


# --- others' use of a damaged vault ---


@pytest.mark.parametrize("how", HARM)
def test_a_damaged_snapshot_keeps_nobody_from_saving_listing_counting_and_forgetting(
    damaged: Damaged, how: str
) -> None:
    damaged.damage("snapshot", how)
    name = damaged.scene.second.snapshot_id
    damage = Damage(MAKE_AGAIN)
    ids = {each.id for each in damaged.session.snapshots(damage)}
    broken = damage.found
    assert ids == {damaged.scene.first.snapshot_id, damaged.scene.stream.snapshot_id}
    assert list(broken) == ([] if how == "gone" else [name])
    with damaged.session.reading() as looking:
        assert {each.id for each in looking.snapshots()} == ids
        assert looking.issues.count == len(broken)
    assert len(damaged.session.stats().errors) == len(broken)
    saved = damaged.session.save_tree(str(damaged.scene.source), tags=[])
    assert damaged.restore(saved) == ""
    if broken:
        with pytest.raises(VaultDamaged, match=name):
            damaged.session.prune()
    damaged.session.forget([name])
    damaged.session.prune()
    assert damaged.check() == ""
    assert damaged.restore(saved, "again") == ""
    assert_others_are_whole(damaged)


@pytest.mark.parametrize("how", HARM)
def test_a_damaged_index_file_is_told_by_its_name_and_mended_by_a_repair(damaged: Damaged, how: str) -> None:
    key = damaged.damage("index", how)
    with damaged.session.reading() as looking:
        (snapshot,) = (each for each in looking.snapshots() if each.id == damaged.scene.first.snapshot_id)
        assert len(list(looking.list(snapshot, recursive=True))) == 12
        assert [issue.path for issue in looking.issues.kept] == ([] if how == "gone" else [key])
    if how != "gone":
        with pytest.raises(VaultDamaged, match=f"{key}.*repair index"):
            damaged.session.save_tree(str(damaged.scene.source), tags=[])
    report = damaged.session.repair_index()
    assert report.ok and [key in each for each in report.unreadable_files] == [True] * (how != "gone")
    assert damaged.check() == ""
    assert damaged.restore(damaged.scene.second) == ""
    assert_others_are_whole(damaged)


# --- what belongs to another vault ---


@pytest.fixture
def foreign(engine: VaultEngine, damaged: Damaged) -> BankPlugin:
    """The bank of another vault with the same password."""
    vault = new_vault(FilesystemBank(damaged.top / "foreign"))
    VaultSession(engine, vault.bank, vault.key).save_tree(str(damaged.scene.source), tags=[])
    return vault.bank


def names(bank: BankPlugin, kind: str) -> list[str]:
    return sorted(item.key for item in bank.list(kind))


def test_a_wrong_password_and_a_wrong_key_open_nothing(damaged: Damaged, engine: VaultEngine) -> None:
    with pytest.raises(WrongPassword):
        Repository.open(damaged.bank, PASSWORD + "x")
    damaged.session = VaultSession(engine, damaged.bank, MasterKey.generate())
    assert "key is that of another vault" in damaged.restore(damaged.scene.first)
    assert "key is that of another vault" in damaged.check()
    for change in (
        lambda: damaged.session.save_tree(str(damaged.scene.source), tags=[]),
        lambda: damaged.session.save_stream(io.BytesIO(b"text"), "dump", tags=[]),
        damaged.session.prune,
        damaged.session.repair_index,
        lambda: damaged.session.forget([damaged.scene.first.snapshot_id]),
    ):
        before = names(damaged.bank, "")
        with pytest.raises(VaultDamaged, match="key is that of another vault"):
            change()
        assert names(damaged.bank, "") == before


def test_a_foreign_key_file_with_the_same_password_opens_nothing(
    damaged: Damaged, foreign: BankPlugin
) -> None:
    (key,) = names(foreign, "keys")
    damaged.put(key, foreign.get(key))
    assert Repository.open(damaged.bank, PASSWORD).key == damaged.scene.key
    damaged.put(damaged.scene.mine["key"], None)
    with pytest.raises(VaultDamaged, match="another vault"):
        Repository.open(damaged.bank, PASSWORD)


@pytest.mark.parametrize("kind", ["snapshots", "index", "data"])
def test_foreign_objects_are_named_and_nothing_comes_from_them(
    damaged: Damaged, foreign: BankPlugin, kind: str
) -> None:
    """Their names fit their bytes, so only the key can tell."""
    keys = names(foreign, kind)
    for key in keys:
        (damaged.path / key).parent.mkdir(exist_ok=True)
        damaged.put(key, foreign.get(key))
    found = (
        damaged.check() if kind != "data" else "; ".join(damaged.session.check(None, read_data=True).hints)
    )
    assert all(os.path.basename(key) in found for key in keys)
    assert damaged.restore(damaged.scene.second) == ""
    assert_others_are_whole(damaged)
    if kind == "snapshots":
        (name,) = map(os.path.basename, keys)
        with pytest.raises(VaultDamaged):
            damaged.session.restore_tree(name, "ab" * 32, "/", str(damaged.top / "theirs"), RestoreOptions())
        assert not (damaged.top / "theirs").exists()


def test_a_snapshot_that_names_another_tree_restores_nothing(damaged: Damaged) -> None:
    """The row knows what was saved; a bank may offer another snapshot for it."""
    first, second = damaged.scene.first, damaged.scene.second
    with pytest.raises(VaultDamaged):
        damaged.session.restore_tree(
            first.snapshot_id,
            second.tree_id,
            str(damaged.scene.source),
            str(damaged.top / "x"),
            RestoreOptions(),
        )
    with pytest.raises(SnapshotNotFound):
        damaged.session.restore_tree("ab" * 32, first.tree_id, "/", str(damaged.top / "x"), RestoreOptions())
    assert not (damaged.top / "x").exists()


# --- a byte anywhere ---


def test_no_changed_byte_anywhere_is_restored(engine: VaultEngine, tmp_path: Path) -> None:
    source, chance = tmp_path / "source", random.Random(11)
    (source / "folder").mkdir(parents=True)
    for number in range(6):
        (source / "folder" / f"f{number}").write_bytes(chance.randbytes(40 + number))
    bank = FaultyBank()
    vault = new_vault(bank)
    saved = VaultSession(engine, bank, vault.key).save_tree(str(source), tags=[])
    places = [
        (item.key, place)
        for item in sorted(bank.list(""), key=lambda item: item.key)
        for place in range(item.size)
    ]
    for number, (key, place) in enumerate(sample(places, BYTES_TRIED, of="bytes")):
        print(key, place, repeat())
        bank.change(key, lambda raw, place=place: flip(raw, place))
        target = tmp_path / str(number)
        try:
            key_found = Repository.open(bank, PASSWORD).key
            session = VaultSession(engine, bank, key_found)
            assert session.check(None, read_data=True).errors
            report = session.restore_tree(
                saved.snapshot_id, saved.tree_id, str(source), str(target), RestoreOptions()
            )
        except VaultError as error:
            assert key in str(error) or "tree blob" in str(error)
            assert not target.exists()
        else:
            found = contents(target)
            assert found.items() <= contents(source).items()
            assert report.issue_count or found == contents(source)
            shutil.rmtree(target)
        bank.change(key, lambda raw, place=place: flip(raw, place))
