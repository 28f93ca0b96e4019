"""Issue 3, point 6 (e): a vault on a file system that is full in the middle of a write, or read-only: the
kernel says so. What was acknowledged can be read meanwhile, and all goes on when there is room again."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from protectd.common.clock import SystemClock
from protectd.common.reports import SaveReport
from protectd.common.units import KIB, MIB
from protectd.plugin.banks.filesystem import TEMPORARY, FilesystemBank
from protectd.plugin.base import BankRefused
from protectd.vault.engine import VaultEngine
from protectd.vault.key_files import add_key, remove_key
from protectd.vault.options import EngineOptions
from tests.fakes.engines import Rig
from tests.fakes.mounts import Mount, small_file_system
from tests.fakes.tree import differences, tree
from tests.fakes.vault_kit import CHEAP, ME, PASSWORD, Restic

ROOM_BYTES = 6 * MIB


@pytest.fixture(scope="module")
def engine() -> Iterator[VaultEngine]:
    made = VaultEngine(EngineOptions(node="test", workers=2, pack_bytes=512 * KIB, lock_wait_s=1))
    yield made
    made.close()


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    with small_file_system(tmp_path / "disk", ROOM_BYTES) as made:
        yield made


class Scene(Rig):
    """A vault with two checkpoints; a third one would be too large for the file system."""

    def __init__(self, engine: VaultEngine, top: Path, mount: Mount, restic: str) -> None:
        super().__init__(engine, top, FilesystemBank(mount.path / "vault"))
        self.mount = mount
        self.program = Restic(restic, mount.path / "vault")
        self.write("kept", MIB)
        self.kept, self.kept_tree = self.save(), tree(self.source)
        self.write("more", MIB)
        self.more, self.more_tree = self.save(), tree(self.source)

    def write(self, name: str, size: int) -> None:
        self.file(name, random.Random(name).randbytes(size))

    def too_much(self) -> None:
        self.write("large", 2 * ROOM_BYTES)

    def assert_restores(self, saved: SaveReport, name: str) -> None:
        assert self.restore(saved, name).issues == ()
        expected = self.more_tree if saved is self.more else self.kept_tree
        assert differences(expected, tree(self.top / name)) == []

    def assert_all_is_there(self, name: str) -> None:
        self.assert_restores(self.kept, f"{name} kept")
        self.assert_restores(self.more, f"{name} more")
        report = self.session.check(None, read_data=True)
        assert report.ok, report.errors
        done = self.program.run("check", "--read-data", "--no-lock")
        assert done.returncode == 0, done.stdout + done.stderr

    def half_written(self) -> list[Path]:
        return [path for path in self.mount.path.rglob("*") if TEMPORARY.fullmatch(path.name)]

    def assert_clean(self) -> None:
        self.session.prune()
        self.program.check()
        assert self.session.check(None, read_data=True).hints == ()
        assert self.locks() == []


@pytest.fixture
def scene(engine: VaultEngine, tmp_path: Path, mount: Mount, restic: str) -> Scene:
    return Scene(engine, tmp_path, mount, restic)


def save_stream(scene: Scene) -> None:
    scene.session.save_stream(io.BytesIO(random.Random(3).randbytes(2 * ROOM_BYTES)), "dump", tags=[])


@pytest.mark.parametrize("save", [Scene.save, save_stream], ids=["tree", "stream"])
def test_a_backup_that_fills_the_disk_ends_and_harms_nothing(
    scene: Scene, save: Callable[[Scene], object]
) -> None:
    scene.too_much()
    with pytest.raises(BankRefused) as caught:
        save(scene)
    assert caught.value.facts["reason"] == "No space left on device"
    assert caught.value.facts["key"].startswith("data/")
    assert scene.half_written() == []
    assert len(scene.session.snapshots()) == 2
    scene.assert_all_is_there("full")
    assert scene.locks() == []


def test_room_comes_back_with_a_prune_and_the_backup_goes_through(scene: Scene) -> None:
    scene.too_much()
    with pytest.raises(BankRefused):
        scene.save()
    before = scene.mount.free_bytes
    scene.session.forget([scene.more.snapshot_id])
    scene.session.prune()
    assert scene.mount.free_bytes > before + MIB
    scene.assert_restores(scene.kept, "pruned")
    scene.mount.remount(f"size={4 * ROOM_BYTES}")
    saved = scene.save()
    assert scene.restore(saved, "large").issues == ()
    assert differences(tree(scene.source), tree(scene.top / "large")) == []
    scene.assert_clean()


def test_from_a_disk_without_a_byte_of_room_all_can_be_read(scene: Scene) -> None:
    filler = scene.mount.path / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4 * KIB))
    scene.assert_all_is_there("filled")
    scene.too_much()
    with pytest.raises(BankRefused):
        scene.save()
    filler.unlink()
    scene.assert_clean()


def changes(scene: Scene) -> dict[str, Callable[[], object]]:
    """All that writes to a vault, or removes from it."""
    vault, clock = scene.repository, SystemClock()
    return {
        "save": scene.save,
        "save a stream": lambda: save_stream(scene),
        "forget": lambda: scene.session.forget([scene.more.snapshot_id]),
        "prune": scene.session.prune,
        "repair": scene.session.repair_index,
        "add a key": lambda: add_key(vault, "another", ME, clock, cost=CHEAP),
        "remove a key": lambda: remove_key(vault, vault.names("keys")[0], PASSWORD, ME, clock),
    }


def test_a_vault_on_a_read_only_disk_is_read_and_all_else_refused(scene: Scene) -> None:
    scene.write("new", 10 * KIB)
    scene.mount.remount("ro")
    scene.assert_all_is_there("read-only")
    assert scene.session.stats().snapshots == 2
    with scene.session.reading() as looking:
        assert len(looking.snapshots()) == 2
    for name, change in changes(scene).items():
        with pytest.raises(BankRefused) as caught:
            change()
        assert caught.value.facts["reason"] == "Read-only file system", name
    scene.mount.remount("rw")
    assert scene.locks() == []
    assert scene.restore(scene.save(), "new").issues == ()
    scene.assert_all_is_there("writable")
    scene.assert_clean()


def test_a_disk_that_turns_read_only_in_the_middle_of_a_backup(scene: Scene) -> None:
    """As ext4 does after an error. The lock cannot be removed then: it goes when that can be done."""
    taken: list[str] = []

    def turn() -> None:
        taken.extend(scene.locks())
        scene.mount.remount("ro")

    with pytest.raises(BankRefused):
        scene.session.save_stream(io.BytesIO(b"text"), "dump", tags=[], confirm=turn)
    assert taken and scene.locks() == taken
    scene.assert_all_is_there("turned")
    scene.mount.remount("rw")
    scene.save()
    deadline = time.monotonic() + 60
    while scene.locks():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    scene.assert_clean()
