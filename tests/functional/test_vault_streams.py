"""Streams: a program's output becomes a file of a snapshot, and comes back, whatever its length."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from protectd.common.errors import Cancelled
from protectd.common.progress import Progress
from protectd.common.reports import SaveReport
from protectd.common.units import KIB, MIB
from protectd.plugin.banks.memory import MemoryBank
from protectd.plugin.base import ResourceUnavailable
from protectd.vault.engine import VaultEngine
from protectd.vault.errors import PathNotInSnapshot, VaultDamaged
from protectd.vault.options import EngineOptions
from tests.fakes.engines import Recorder, Rig
from tests.fakes.vault_kit import Restic

NAME = "dump.sql"
DUMP = """
import random, sys
chance = random.Random(int(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    sys.stdout.buffer.write(chance.randbytes(700) + b"insert into t values (1, 2, 3);" * 10)
sys.exit(int(sys.argv[3]))
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[VaultEngine]:
    made = VaultEngine(EngineOptions(node="test", workers=2))
    yield made
    made.close()


@pytest.fixture
def rig(engine: VaultEngine, tmp_path: Path) -> Rig:
    return Rig(engine, tmp_path)


def dump(seed: int, rows: int, status: int = 0) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", DUMP, str(seed), str(rows), str(status)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def text(seed: int, rows: int) -> bytes:
    chance = random.Random(seed)
    return b"".join(chance.randbytes(700) + b"insert into t values (1, 2, 3);" * 10 for _ in range(rows))


class DumpFailed(Exception):
    """What a plug-in would raise."""


def save_dump(rig: Rig, seed: int, rows: int, status: int = 0) -> SaveReport:
    with dump(seed, rows, status) as process:

        def confirm() -> None:
            if process.wait():
                raise DumpFailed

        assert process.stdout is not None
        return rig.session.save_stream(process.stdout, NAME, tags=["protectd:test=1"], confirm=confirm)


def save(rig: Rig, source: BinaryIO, name: str = NAME) -> SaveReport:
    return rig.session.save_stream(source, name, tags=[])


def restored(rig: Rig, saved: SaveReport, name: str = NAME) -> bytes:
    pieces: list[bytes] = []
    size = rig.session.restore_stream(saved.snapshot_id, saved.tree_id, name, pieces.append)
    whole = b"".join(pieces)
    assert size == len(whole)
    return whole


def test_what_a_program_wrote_comes_back(rig: Rig) -> None:
    saved = save_dump(rig, seed=1, rows=60_000)
    whole = text(1, 60_000)
    assert saved.logical_bytes == saved.read_bytes == len(whole)
    assert saved.stored_bytes < saved.added_bytes
    assert restored(rig, saved) == whole
    assert rig.session.check(None, read_data=True).ok
    assert rig.locks() == []


def test_restic_reads_it(rig: Rig, restic: str, tmp_path: Path) -> None:
    saved = save_dump(rig, seed=2, rows=5_000)
    program = Restic(restic, tmp_path / "vault")
    program.check()
    program("restore", saved.snapshot_id, "--target", str(tmp_path / "out"))
    assert (tmp_path / "out" / NAME).read_bytes() == text(2, 5_000)
    assert (tmp_path / "out" / NAME).stat().st_mode & 0o777 == 0o600


def test_what_was_in_the_dump_before_is_not_stored_again(rig: Rig) -> None:
    before = text(3, 40_000)
    save(rig, io.BytesIO(before))
    after = before[: 9 * MIB] + b"a row that is new" + before[9 * MIB :]
    saved = save(rig, io.BytesIO(after))
    assert saved.added_bytes < 10 * MIB
    assert restored(rig, saved) == after


@pytest.mark.parametrize("size", [0, 1, 512 * KIB, 8 * MIB, 16 * MIB, 16 * MIB + 1, 33 * MIB])
def test_any_length_comes_back(rig: Rig, size: int) -> None:
    whole = random.Random(size).randbytes(size)
    saved = save(rig, io.BytesIO(whole))
    assert saved.logical_bytes == size
    assert restored(rig, saved) == whole


def test_a_file_is_read_from_its_start(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content of a file")
    with (tmp_path / "file").open("rb") as file:
        assert restored(rig, save(rig, file)) == b"content of a file"


def test_a_vault_in_memory_takes_streams_too(tmp_path: Path) -> None:
    engine = VaultEngine(EngineOptions(node="test", workers=2, in_process=True))
    rig = Rig(engine, tmp_path, MemoryBank())
    saved = save_dump(rig, seed=4, rows=30_000)
    assert restored(rig, saved) == text(4, 30_000)
    engine.close()


def test_a_program_that_fails_leaves_no_snapshot(rig: Rig) -> None:
    with pytest.raises(DumpFailed):
        save_dump(rig, seed=5, rows=1_000, status=3)
    assert rig.session.snapshots() == []
    assert rig.locks() == []


def test_a_stream_that_breaks_off_leaves_no_snapshot(rig: Rig) -> None:
    class Breaks(io.RawIOBase):
        def __init__(self) -> None:
            self.left = 3

        def read(self, size: int = -1) -> bytes:
            self.left -= 1
            if not self.left:
                raise ConnectionResetError("the server went away")
            return os.urandom(MIB)

    with pytest.raises(ResourceUnavailable, match="the server went away"):
        rig.session.save_stream(Breaks(), NAME, tags=[])  # type: ignore[arg-type]
    assert rig.session.snapshots() == []
    assert rig.locks() == []


def test_a_program_that_hangs_can_be_given_up(rig: Rig) -> None:
    class Ends(Progress):
        def __init__(self) -> None:
            self.calls = 0

        def check(self) -> None:
            self.calls += 1
            if self.calls > 5:
                raise Cancelled

    command = [sys.executable, "-c", "import time; print('x' * 100_000, flush=True); time.sleep(600)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with pytest.raises(Cancelled):
            rig.session.save_stream(process.stdout, NAME, tags=[], progress=Ends())
        process.kill()
    assert rig.session.snapshots() == []
    assert rig.locks() == []


def test_tells_how_much_came_by(rig: Rig) -> None:
    recorder = Recorder()
    with dump(6, 90_000) as process:
        assert process.stdout is not None
        rig.session.save_stream(process.stdout, NAME, tags=[], progress=recorder)
    seen = [counts.done_bytes for counts in recorder.pictures]
    assert seen == sorted(seen) and seen[-1] > 0


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "nul\0", "x" * 256, "\udcff"])
def test_a_name_that_no_file_can_have_is_refused(rig: Rig, name: str) -> None:
    with pytest.raises(ResourceUnavailable):
        save(rig, io.BytesIO(b"content"), name)


def test_only_the_tree_that_was_recorded_is_given_back(rig: Rig) -> None:
    saved, other = save(rig, io.BytesIO(b"one")), save(rig, io.BytesIO(b"other"))
    with pytest.raises(VaultDamaged):
        rig.session.restore_stream(saved.snapshot_id, other.tree_id, NAME, bytes)
    with pytest.raises(PathNotInSnapshot):
        rig.session.restore_stream(saved.snapshot_id, saved.tree_id, "another", bytes)
