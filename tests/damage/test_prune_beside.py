"""A prune beside others: whatever they are in the middle of, nothing that they need goes, and all else does.

Proves `prune` of issue 3's operations: packs leave the index first and are deleted when every operation that
could still need them has ended; restic agrees at every moment.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from protectd.common.clock import SystemClock
from protectd.common.progress import Counts, Progress
from protectd.common.reports import SaveReport
from protectd.common.units import MIB
from protectd.vault.engine import VaultEngine
from protectd.vault.errors import LockLost, PacksInUse, VaultLocked
from protectd.vault.lock_files import PRUNE, read_locks
from protectd.vault.locks import shared_lock
from protectd.vault.options import EngineOptions
from protectd.vault.prune import Waits
from tests.fakes.engines import Rig
from tests.fakes.vault_kit import ME, Restic, data_bytes

NAME = "dump"
PATIENCE_S = 0.3


@pytest.fixture(scope="module")
def engine() -> Iterator[VaultEngine]:
    made = VaultEngine(EngineOptions(node="test", workers=2, pack_bytes=4 * MIB, lock_wait_s=0.3))
    yield made
    made.close()


@pytest.fixture
def rig(engine: VaultEngine, tmp_path: Path) -> Rig:
    return Rig(engine, tmp_path)


@pytest.fixture
def program(restic: str, tmp_path: Path) -> Restic:
    return Restic(restic, tmp_path / "vault")


class Writer:
    """A backup that is in the middle of its work until it is given the rest of its stream."""

    def __init__(self, rig: Rig) -> None:
        self._out, self._in = os.pipe()
        self._seen = threading.Event()
        threads = ThreadPoolExecutor(1)
        self._saved: Future[SaveReport] = threads.submit(self._save, rig)
        threads.shutdown(wait=False)
        self.write(b"first bytes")
        assert self._seen.wait(60)

    def _save(self, rig: Rig) -> SaveReport:
        seen = self._seen

        class Sees(Progress):
            def report(self, counts: Counts) -> None:
                if counts.done_bytes:
                    seen.set()

        with os.fdopen(self._out, "rb") as stream:
            return rig.session.save_stream(stream, NAME, tags=[], progress=Sees())

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._in, data) :]

    def end(self) -> SaveReport:
        os.close(self._in)
        return self._saved.result(60)


def save_bytes(rig: Rig, content: bytes) -> SaveReport:
    writer = Writer(rig)
    writer.write(content)
    return writer.end()


def restored(rig: Rig, saved: SaveReport) -> bytes:
    pieces: list[bytes] = []
    rig.session.restore_stream(saved.snapshot_id, saved.tree_id, NAME, pieces.append)
    return b"".join(pieces)


def marked(rig: Rig) -> Waits:
    """Prune as far as it goes while others work; what it waits for."""
    with pytest.raises(PacksInUse) as caught:
        rig.session.prune(patience_s=PATIENCE_S)
    facts = caught.value.facts
    return Waits(frozenset(facts["files"]), frozenset(facts["operations"]))


def assert_clean(rig: Rig, program: Restic) -> None:
    """Nobody finds fault, and there is no rubbish."""
    report = rig.session.check(None, read_data=True)
    assert report.ok and not report.hints, (report.errors, report.hints)
    program.check()
    assert rig.locks() == []


def assert_nothing_wrong(program: Restic) -> None:
    done = program.run("check", "--read-data", "--no-lock")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_backup_that_counts_on_what_is_marked_gets_it_back(rig: Rig, program: Restic) -> None:
    content = b"first bytes" + os.urandom(20 * MIB)
    first = save_bytes(rig, content[len(b"first bytes") :])
    writer = Writer(rig)
    rig.session.forget([first.snapshot_id])
    waits = marked(rig)
    assert_nothing_wrong(program)
    writer.write(content[len(b"first bytes") :])
    second = writer.end()
    assert second.added_bytes < MIB  # it found its pieces in an index that had them
    rig.session.prune(waits=waits)
    assert restored(rig, second) == content
    assert_clean(rig, program)


def test_packs_that_a_backup_has_just_stored_are_not_taken_for_rubbish(rig: Rig, program: Restic) -> None:
    content = os.urandom(40 * MIB)
    writer = Writer(rig)
    writer.write(content)
    while data_bytes(rig.repository) < 8 * MIB:
        time.sleep(0.01)
    before = data_bytes(rig.repository)
    rig.session.prune(patience_s=PATIENCE_S)  # it can wait: nobody has called for these bytes
    assert data_bytes(rig.repository) >= before
    saved = writer.end()
    assert_nothing_wrong(program)
    rig.session.prune()
    assert restored(rig, saved) == b"first bytes" + content
    assert_clean(rig, program)


def test_a_reader_keeps_what_it_reads_until_it_ends(rig: Rig, program: Restic) -> None:
    content = os.urandom(10 * MIB)
    saved = save_bytes(rig, content)
    with rig.session.reading() as look:
        snapshot = look.snapshots()[0]
        look.find(snapshot, b"/dump")
        rig.session.forget([saved.snapshot_id])
        waits = marked(rig)
        pieces: list[bytes] = []
        look.cat(snapshot, b"/dump", pieces.append)
        assert b"".join(pieces) == b"first bytes" + content
        assert data_bytes(rig.repository) > 10 * MIB
    rig.session.prune(waits=waits)
    assert data_bytes(rig.repository) == 0
    assert_clean(rig, program)


def test_who_came_after_the_marks_is_not_waited_for(rig: Rig, program: Restic) -> None:
    content = os.urandom(10 * MIB)
    first = save_bytes(rig, content)
    early = Writer(rig)
    rig.session.forget([first.snapshot_id])
    waits = marked(rig)
    late = Writer(rig)
    late.write(content)
    early.end()
    before = data_bytes(rig.repository)
    rig.session.prune(waits=waits, patience_s=PATIENCE_S)  # `late` is still at work
    assert data_bytes(rig.repository) < before
    assert_nothing_wrong(program)
    saved = late.end()
    assert saved.added_bytes > 10 * MIB  # it stored again what was marked
    assert restored(rig, saved) == b"first bytes" + content
    rig.session.prune()
    assert_clean(rig, program)


def test_one_that_was_cut_off_after_its_marks_is_finished_by_the_next(rig: Rig, program: Restic) -> None:
    saved = save_bytes(rig, os.urandom(10 * MIB))
    writer = Writer(rig)
    rig.session.forget([saved.snapshot_id])
    marked(rig)
    writer.end()
    assert data_bytes(rig.repository) > 10 * MIB
    rig.session.prune()
    assert data_bytes(rig.repository) < MIB
    assert_clean(rig, program)


def test_one_prune_at_a_time(rig: Rig) -> None:
    with shared_lock(rig.repository, ME, SystemClock(), does=PRUNE), pytest.raises(VaultLocked):
        rig.session.prune()


def test_a_backup_of_restic_is_waited_for(rig: Rig, program: Restic) -> None:
    saved = save_bytes(rig, os.urandom(10 * MIB))
    rig.session.forget([saved.snapshot_id])
    with program.backup_from_pipe(rig.repository):
        with pytest.raises(PacksInUse):
            rig.session.prune(patience_s=PATIENCE_S)
        assert data_bytes(rig.repository) > 10 * MIB
    rig.session.prune()
    assert data_bytes(rig.repository) < MIB
    assert len(rig.session.snapshots()) == 1
    assert_clean(rig, program)


def test_restic_may_prune_what_is_marked(rig: Rig, program: Restic) -> None:
    kept, saved = save_bytes(rig, b"kept"), save_bytes(rig, os.urandom(10 * MIB))
    writer = Writer(rig)
    rig.session.forget([saved.snapshot_id])
    marked(rig)
    writer.end()
    program("prune")
    assert data_bytes(rig.repository) < MIB
    rig.session.prune()
    assert restored(rig, kept) == b"first byteskept"
    assert_clean(rig, program)


def test_a_backup_that_was_taken_for_dead_publishes_nothing(rig: Rig) -> None:
    writer = Writer(rig)
    for lock in read_locks(rig.repository):
        rig.bank.delete(f"locks/{lock.name}")
    writer.write(b"more")
    with pytest.raises(LockLost):
        writer.end()
    assert rig.session.snapshots() == []
