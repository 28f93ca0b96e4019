"""Processes of an engine are killed in the middle; what is left is good, and the next run goes through."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from protectd.common.clock import SystemClock
from protectd.common.errors import Cancelled
from protectd.common.progress import Counts, Progress
from protectd.common.reports import RestoreOptions, RestoreReport, SaveReport
from protectd.common.units import MIB
from protectd.plugin.wrappers.options import wrapped
from protectd.vault import engine as engine_module
from protectd.vault.engine import VaultEngine, VaultSession
from protectd.vault.errors import VaultLocked, WorkerLost
from protectd.vault.locks import exclusive_lock
from protectd.vault.options import EngineOptions
from tests.fakes.engines import Rig
from tests.fakes.tree import differences, tree


@pytest.fixture
def engine() -> Iterator[VaultEngine]:
    made = VaultEngine(EngineOptions(node="test", workers=2, pack_bytes=MIB, lock_wait_s=0))
    yield made
    made.close()


@pytest.fixture
def rig(engine: VaultEngine, tmp_path: Path) -> Rig:
    rig = Rig(engine, tmp_path)
    for number in range(6):
        rig.file(f"f{number}", os.urandom(4 * MIB))
    return rig


@pytest.fixture
def slow(engine: VaultEngine, rig: Rig) -> Iterator[VaultSession]:
    """On the vault of `rig`, so slow that there is a middle: all of it would take 24 s."""
    bank = wrapped(rig.bank, {"upload_kib_s": "1024", "download_kib_s": "1024"})
    with engine.session(bank, rig.repository.key) as session:
        yield session


def restore(session: VaultSession, rig: Rig, saved: SaveReport, progress: Progress) -> RestoreReport:
    where = (str(rig.source), str(rig.top / "restored"))
    return session.restore_tree(saved.snapshot_id, saved.tree_id, *where, RestoreOptions(), progress)


class KillsOnce(Progress):
    """At the first picture with data in it: kills one of this process's children or grandchildren, the ones
    that are at work: what an engine of another test may have left is idle."""

    def __init__(self, *, grandchild: bool) -> None:
        self._grandchild = grandchild
        self._killed = False

    def report(self, counts: Counts) -> None:
        if counts.done_bytes and not self._killed:
            self._killed = True
            victim = max(children(os.getpid()), key=started)
            os.kill(children(victim)[0] if self._grandchild else victim, signal.SIGKILL)


def started(pid: int) -> int:
    """In ticks since the machine was started."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def children(pid: int) -> list[int]:
    found = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    named = [int(each) for each in sum(found, [])]
    return [each for each in named if b"protectd.vault.host" in Path(f"/proc/{each}/cmdline").read_bytes()]


@pytest.mark.parametrize("grandchild", [False, True], ids=["planner", "worker"])
def test_a_killed_process_fails_the_save_and_the_next_one_is_whole(
    rig: Rig, slow: VaultSession, grandchild: bool
) -> None:
    with pytest.raises(WorkerLost):
        slow.save_tree(str(rig.source), tags=[], progress=KillsOnce(grandchild=grandchild))
    assert rig.session.snapshots() == []
    saved = rig.save()
    assert rig.session.check([saved.snapshot_id], read_data=True).ok
    rig.session.prune()  # a lock that a killed planner left would stand in its way
    assert rig.locks() == []


def test_a_killed_worker_fails_the_restore_and_nothing_half_written_stays(
    rig: Rig, slow: VaultSession
) -> None:
    saved = rig.save()
    with pytest.raises(WorkerLost):
        restore(slow, rig, saved, KillsOnce(grandchild=True))
    for path in (rig.top / "restored").iterdir():
        assert path.read_bytes() == (rig.source / path.name).read_bytes()
    assert rig.restore(saved, overwrite=True).issues == ()
    assert differences(tree(rig.source), tree(rig.top / "restored")) == []


class ComesLate(Progress):
    """Another restore puts whole files in the place of those that this one has begun; then it is ended."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self.replaced: list[Path] = []

    def report(self, counts: Counts) -> None:
        if counts.done_bytes and not self.replaced:
            for path in sorted(self._target.iterdir()):
                path.with_suffix(".other").write_bytes(b"restored by another")
                path.with_suffix(".other").replace(path)
                self.replaced.append(path)

    def check(self) -> None:
        if self.replaced:
            raise Cancelled


def test_a_restore_that_ends_late_leaves_what_another_has_put_in_the_place_of_its_files(
    rig: Rig, slow: VaultSession
) -> None:
    saved, progress = rig.save(), ComesLate(rig.top / "restored")
    with pytest.raises(Cancelled):
        restore(slow, rig, saved, progress)
    assert progress.replaced != []
    assert {path.read_bytes() for path in progress.replaced} == {b"restored by another"}


def test_the_owner_hears_once_that_a_restore_begins_and_nothing_is_written_before(rig: Rig) -> None:
    saved, target, seen = rig.save(), rig.top / "restored", []
    rig.session.restore_tree(
        saved.snapshot_id,
        saved.tree_id,
        str(rig.source),
        str(target),
        RestoreOptions(),
        begin=lambda: seen.append(list(target.iterdir())),
    )
    assert seen == [[]]
    assert len(list(target.iterdir())) == 6


def test_an_owner_that_cannot_note_the_begin_of_a_restore_keeps_its_target_empty(rig: Rig) -> None:
    def refuse() -> None:
        raise Cancelled

    saved, target = rig.save(), rig.top / "restored"
    with pytest.raises(Cancelled):
        rig.session.restore_tree(
            saved.snapshot_id, saved.tree_id, str(rig.source), str(target), RestoreOptions(), begin=refuse
        )
    assert list(target.iterdir()) == []
    assert rig.locks() == []


STOPS = """
import os, signal
os.kill(os.getpid(), signal.SIGSTOP)
"""
"""In a child, before it has come so far as to begin anything."""


def test_an_end_need_not_wait_for_a_planner_that_is_still_starting_up(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ends(Progress):
        def check(self) -> None:
            raise Cancelled

    (tmp_path / "stops").mkdir()
    (tmp_path / "stops/sitecustomize.py").write_text(STOPS)
    monkeypatch.syspath_prepend(tmp_path / "stops")
    monkeypatch.setattr(engine_module, "CANCEL_GRACE_S", 3600.0)  # whoever waited would be seen to
    with pytest.raises(Cancelled):
        rig.save(progress=Ends())


SERVICE = """
import sys, time
from pathlib import Path
from protectd.common.progress import Progress
from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.plugin.wrappers.options import wrapped
from protectd.vault.engine import VaultEngine
from protectd.vault.options import EngineOptions
from protectd.vault.repository import Repository
from tests.fakes.vault_kit import PASSWORD

class Tells(Progress):
    def report(self, counts):
        print(counts.done_bytes, flush=True)
        if counts.done_bytes:
            time.sleep(600)

bank = wrapped(FilesystemBank(Path(sys.argv[1])), {"upload_kib_s": "1024"})
engine = VaultEngine(EngineOptions(node="test", workers=2, pack_bytes=1 << 20))
with engine.session(bank, Repository.open(bank, PASSWORD).key) as session:
    session.save_tree(sys.argv[2], tags=[], progress=Tells())
"""


def test_a_service_killed_in_the_middle_leaves_a_vault_that_goes_on(rig: Rig) -> None:
    service = subprocess.Popen(
        [sys.executable, "-c", SERVICE, str(rig.top / "vault"), str(rig.source)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd=Path(__file__).parents[2],
    )
    assert service.stdout is not None
    with service.stdout:
        while not int(service.stdout.readline() or b"1"):
            continue
        family = children(service.pid) + children(children(service.pid)[0])
        service.kill()
        service.wait()
    assert len(family) == 3
    while any(map(_lives, family)):
        time.sleep(0.02)
    saved = rig.save()
    assert rig.session.check(None, read_data=True).ok
    assert saved.issue_count == 0
    rig.session.prune()
    assert rig.locks() == []


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_vault_that_others_hold_alone_is_waited_for_and_then_said_to_be_locked(
    engine: VaultEngine, rig: Rig
) -> None:
    identity = EngineOptions(node="another").identity()
    with exclusive_lock(rig.repository, identity, SystemClock()), pytest.raises(VaultLocked):
        rig.save()
    assert rig.save().issue_count == 0


def test_a_save_that_waits_for_others_can_be_cancelled(tmp_path: Path) -> None:
    class EndsSoon(Progress):
        def __init__(self) -> None:
            self.calls = 0

        def check(self) -> None:
            self.calls += 1
            if self.calls > 3:
                raise Cancelled

    engine = VaultEngine(EngineOptions(node="test", workers=1, lock_wait_s=600))
    rig = Rig(engine, tmp_path)
    with exclusive_lock(rig.repository, EngineOptions(node="another").identity(), SystemClock()):
        with pytest.raises(Cancelled):
            rig.save(progress=EndsSoon())
        assert len(rig.locks()) == 1
    engine.close()


def test_a_save_waits_for_a_prune_to_end(tmp_path: Path) -> None:
    engine = VaultEngine(EngineOptions(node="test", workers=1, lock_wait_s=60))
    rig = Rig(engine, tmp_path)
    rig.file("file")
    with exclusive_lock(rig.repository, EngineOptions(node="another").identity(), SystemClock()):
        reports = []
        waiting = threading.Thread(target=lambda: reports.append(rig.save()))
        waiting.start()
        time.sleep(1.0)
        assert reports == []
    waiting.join()
    assert reports[0].files == 1
    engine.close()
