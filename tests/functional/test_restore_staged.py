"""Restores over something: what is there stays as it is until all that replaces it is whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protectd.common.errors import Cancelled
from protectd.common.progress import Counts, Progress
from protectd.common.reports import RestoreOptions, RestoreReport, SaveReport
from protectd.common.units import MIB
from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.plugin.wrappers.options import wrapped
from protectd.vault import staging
from protectd.vault.engine import VaultEngine
from protectd.vault.errors import TargetUnusable, WorkerLost
from protectd.vault.options import EngineOptions
from protectd.vault.staging import has_mounts_below
from tests.damage.test_restore_killed import KillsOnce
from tests.fakes.engines import Recorder, Rig, kinds
from tests.fakes.mounts import small_file_system
from tests.fakes.tree import differences, tree

BIG = 8 * MIB


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """Its operations tell of every step."""
    monkeypatch.setattr("protectd.vault.operation._INTERVAL_S", 0)
    engine = VaultEngine(EngineOptions(workers=2, in_process=True, lock_wait_s=0))
    yield filled(Rig(engine, tmp_path))
    engine.close()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Rig]:
    """As `rig`, with processes that can be killed: the bank is read slowly, so that there is a middle."""
    engine = VaultEngine(EngineOptions(node="test", workers=2, pack_bytes=MIB, lock_wait_s=0))
    (tmp_path / "bank").mkdir()
    bank = FilesystemBank.from_options({"path": str(tmp_path / "bank")})
    yield filled(Rig(engine, tmp_path, wrapped(bank, {"download_kib_s": "2048"})))
    engine.close()


def filled(rig: Rig) -> Rig:
    rig.file("big", os.urandom(BIG))
    rig.file("small", b"small")
    rig.file("below/deep/file", b"deep")
    rig.file("becomes/a/directory", b"x")
    (rig.source / "link").symlink_to("small")
    os.link(rig.source / "big", rig.source / "below" / "further")
    return rig


@pytest.fixture
def old(rig: Rig) -> Path:
    return standing(rig)


def standing(rig: Rig) -> Path:
    """A target with something of every kind in the way."""
    made = rig.top / "restored"
    (made / "below").mkdir(parents=True)
    (made / "big").write_bytes(b"old and big")
    (made / "small").mkdir()
    (made / "below" / "mine").write_text("nobody saved this")
    (made / "becomes").write_text("an old file")
    (made / "link").write_text("an old file, too")
    return made


def restore(rig: Rig, saved: SaveReport, progress: Progress | None = None, **options: Any) -> RestoreReport:
    return rig.session.restore_tree(
        saved.snapshot_id,
        saved.tree_id,
        str(rig.source),
        str(rig.top / "restored"),
        RestoreOptions(**({"overwrite": True, "staged": True, "trusted": True} | options)),
        progress,
    )


def stages(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir() if path.name.startswith(".protectd-")]


def changes(before: Any, directory: Path, stage: str) -> list[str]:
    """Of all but the stage, and the time of the directory that it was made in."""
    found = differences(before, tree(directory))
    return [each for each in found if stage not in each and not each.startswith("b'.': mtime")]


def test_what_is_whole_replaces_what_was_there_and_the_rest_stays(rig: Rig, old: Path) -> None:
    saved = rig.save()
    report = restore(rig, saved)
    assert report.issues == ()
    assert (old / "below" / "mine").read_text() == "nobody saved this"
    (old / "below" / "mine").unlink()
    os.utime(old / "below", ns=(0, (rig.source / "below").stat().st_mtime_ns))
    assert differences(tree(rig.source), tree(old)) == []
    assert (report.files, report.directories) == (saved.files, saved.directories)


def test_nothing_is_touched_while_it_is_written(rig: Rig, old: Path) -> None:
    saved, before = rig.save(), beside_stages(old)
    looks: list[Any] = []

    class Looks(Progress):
        def report(self, counts: Counts) -> None:
            if counts.done_bytes and stages(old):
                looks.append(beside_stages(old))

    restore(rig, saved, Looks())
    assert looks
    assert all(look == before for look in looks)
    assert beside_stages(old) != before


def test_a_checkpoint_of_the_target_that_is_made_meanwhile_has_nothing_of_it(
    rig: Rig, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved, before = rig.save(), tree(old)
    real, reports = staging.Stage.put_in_place, []

    def saves_first(self: Any, *args: Any, **named: Any) -> Any:
        assert stages(old)
        reports.append(rig.session.save_tree(str(old), tags=()))
        return real(self, *args, **named)

    monkeypatch.setattr(staging.Stage, "put_in_place", saves_first)
    assert restore(rig, saved).issues == ()
    (report,) = reports
    assert report.issues == ()
    target, options = str(rig.top / "again"), RestoreOptions(trusted=True)
    rig.session.restore_tree(report.snapshot_id, report.tree_id, str(old), target, options)
    assert [
        each for each in differences(before, tree(Path(target))) if not each.startswith("b'.': mtime")
    ] == []


def beside_stages(directory: Path) -> dict[str, Any]:
    """Which file stands where, with which content, in all that is no stage."""
    found: dict[str, Any] = {}
    for top in directory.iterdir():
        if not top.name.startswith(".protectd-"):
            for path in (top, *top.rglob("*")):
                content = path.read_bytes() if path.is_file() else None
                found[str(path)] = (path.lstat().st_ino, path.lstat().st_mtime_ns, content)
    return found


def test_a_cancelled_one_leaves_everything_as_it_was(rig: Rig, old: Path) -> None:
    saved, before = rig.save(), tree(old)
    with pytest.raises(Cancelled):
        restore(rig, saved, Recorder(lambda counts: counts.done_bytes > 0))
    assert differences(before, tree(old)) == []


def test_what_cannot_be_read_back_whole_replaces_nothing(rig: Rig, old: Path) -> None:
    saved, before = rig.save(), tree(old)
    key = max((item.key for item in rig.bank.list("data")), key=rig.bank.size)
    raw = bytearray(rig.bank.get(key))
    raw[len(raw) // 2] ^= 1
    rig.bank.put(key, bytes(raw))
    report = restore(rig, saved)
    assert kinds(report.issues)["restored"] == "kept"
    assert kinds(report.issues)["big"] == "damaged"
    assert (report.files, report.directories, report.missing_count) == (0, 0, 2)
    assert differences(before, tree(old)) == []
    one_by_one = restore(rig, saved, staged=False)
    assert (one_by_one.missing_count, (old / "below/deep/file").read_bytes()) == (2, b"deep")


def test_something_that_is_never_replaced_is_found_before_anything_is(rig: Rig, old: Path) -> None:
    (old / "small" / "full").write_text("x")
    saved, before = rig.save(), tree(old)
    report = restore(rig, saved)
    assert kinds(report.issues) == {"small": "refused", "restored": "kept"}
    assert differences(before, tree(old)) == []


def test_no_room_for_both_leaves_what_is_there(rig: Rig) -> None:
    saved = rig.save()
    with small_file_system(rig.top / "restored", BIG * 3 // 2):
        old = rig.top / "restored"
        (old / "big").write_bytes(os.urandom(BIG))
        before = tree(old)
        with pytest.raises(TargetUnusable, match=os.strerror(errno.ENOSPC)):
            restore(rig, saved)
        assert differences(before, tree(old)) == []


def test_an_empty_target_is_written_right_away(rig: Rig) -> None:
    (rig.top / "restored").mkdir()
    saved, seen = rig.save(), []

    class Looks(Progress):
        def report(self, counts: Counts) -> None:
            seen.extend(stages(rig.top / "restored"))

    restore(rig, saved, Looks())
    assert seen == []
    assert differences(tree(rig.source), tree(rig.top / "restored")) == []


def test_with_a_file_system_below_files_are_replaced_one_by_one(rig: Rig, old: Path) -> None:
    saved = rig.save()
    (old / "below" / "mine").unlink()
    (old / "below").rmdir()
    assert not has_mounts_below(os.fsencode(old))
    with small_file_system(old / "below", 2 * BIG):
        assert has_mounts_below(os.fsencode(old))
        report = restore(rig, saved)
        assert [issue for issue in report.issues if issue.path.endswith("file")] == []
        assert (old / "below/deep/file").read_bytes() == b"deep"
        assert (old / "big").read_bytes() == (rig.source / "big").read_bytes()


def test_a_part_of_another_file_system_that_no_table_names_is_found_in_time(
    rig: Rig, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = rig.save()
    monkeypatch.setattr("protectd.vault.restore.has_mounts_below", lambda path: False)
    (old / "below" / "mine").unlink()
    (old / "below").rmdir()
    with small_file_system(old / "below", 2 * BIG):
        restore(rig, saved)
        assert (old / "below/deep/file").read_bytes() == b"deep"
        assert stages(old) == []


def test_chosen_paths_replace_those_alone(rig: Rig, old: Path) -> None:
    saved = rig.save()
    times = (old / "below").stat().st_mode
    report = restore(rig, saved, paths=("below/deep", "big"))
    assert report.issues == ()
    assert (old / "big").read_bytes() == (rig.source / "big").read_bytes()
    assert (old / "below/deep/file").read_bytes() == b"deep"
    assert (old / "link").read_text() == "an old file, too"
    assert (old / "below").stat().st_mode == times
    assert stages(old) == []


@pytest.mark.parametrize("name", [".protectd-notes.new", ".protectd-0123456789abcdef0.whole"])
def test_what_is_only_named_much_like_a_stage_stays(rig: Rig, old: Path, name: str) -> None:
    (old / name).mkdir()
    (old / name / "mine").write_text("nobody saved this")
    assert restore(rig, rig.save()).issues == ()
    assert (old / name / "mine").read_text() == "nobody saved this"


def test_a_link_in_the_target_is_replaced_not_followed(rig: Rig) -> None:
    outside = rig.top / "outside"
    outside.mkdir()
    old = rig.top / "restored"
    old.mkdir()
    (old / "below").symlink_to(outside)
    (old / "small").symlink_to(outside / "made-by-nobody")
    assert restore(rig, rig.save()).issues == ()
    assert list(outside.iterdir()) == []
    assert differences(tree(rig.source), tree(old)) == []


@pytest.mark.usefixtures("deep")
def test_a_very_deep_tree_is_staged_and_cleared(rig: Rig) -> None:
    descriptor = os.open(rig.source, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    saved = rig.save()
    old = rig.top / "restored"
    old.mkdir()
    (old / "d").mkdir()
    (old / "x").write_text("x")
    with pytest.raises(Cancelled):
        restore(rig, saved, Recorder(lambda counts: counts.done_files > 0))
    assert sorted(os.listdir(old)) == ["d", "x"]
    assert restore(rig, saved).issues == ()


# --- killed ---


def test_a_killed_worker_changes_nothing(processes: Rig) -> None:
    saved, old = processes.save(), standing(processes)
    before = tree(old)
    with pytest.raises(WorkerLost):
        restore(processes, saved, KillsOnce(grandchild=True))
    assert differences(before, tree(old)) == []


def test_what_a_killed_planner_has_left_is_removed_by_the_next_restore(processes: Rig) -> None:
    saved, old = processes.save(), standing(processes)
    before = tree(old)
    with pytest.raises(WorkerLost):
        restore(processes, saved, KillsOnce(grandchild=False))
    (left,) = stages(old)
    assert changes(before, old, left) == []
    assert restore(processes, saved).issues == ()
    assert stages(old) == []
    assert (old / "big").read_bytes() == (processes.source / "big").read_bytes()


def test_a_stage_that_somebody_writes_to_is_left_alone(rig: Rig, old: Path) -> None:
    saved = rig.save()
    inner: list[RestoreReport] = []

    class Another(Progress):
        """A second restore into the same target, in the middle of the first."""

        def report(self, counts: Counts) -> None:
            if counts.done_bytes and not inner:
                inner.append(restore(rig, saved))

    assert restore(rig, saved, Another()).issues == ()
    assert inner[0].issues == ()
    assert stages(old) == []


@pytest.mark.parametrize("at", range(8))
def test_one_that_dies_while_it_is_put_in_place_leaves_each_entry_whole_and_the_next_one_ends_it(
    rig: Rig, old: Path, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each entry is the old or the new one, whole, or still in the stage."""
    saved = rig.save()
    real, moves = staging.Stage._move, iter(range(100))

    def dies(self: Any, *args: Any, **named: Any) -> None:
        if next(moves) == at:
            raise Cancelled
        real(self, *args, **named)

    monkeypatch.setattr(staging.Stage, "_move", dies)
    monkeypatch.setattr(staging.Stage, "close", lambda self: self.target.close())
    try:
        restore(rig, saved)
    except Cancelled:
        (left,) = stages(old)
        assert left.endswith(".whole")
    assert (old / "big").read_bytes() in (b"old and big", (rig.source / "big").read_bytes())
    monkeypatch.undo()
    assert restore(rig, saved).issues == ()
    assert stages(old) == []
    (old / "below" / "mine").unlink()
    os.utime(old / "below", ns=(0, (rig.source / "below").stat().st_mtime_ns))
    assert differences(tree(rig.source), tree(old)) == []
