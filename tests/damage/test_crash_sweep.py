"""Issue 3, point 6 (a): a separate process is killed with SIGKILL at every numbered bank write, before it, in
the middle of it and after it; afterwards every acknowledged checkpoint restores byte-equal, `check` and
`restic check` are clean or name only garbage, and the operation goes through when it is run again.

A first run counts the changes of each operation. Of all places to die a seed chooses some; with
PROTECTD_TEST_FULL=1 every one is tried.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from protectd.common.reports import RestoreOptions
from protectd.plugin.banks.filesystem import LEFTOVER_AGE_S, TEMPORARY
from protectd.vault.engine import VaultEngine
from protectd.vault.key_files import keys_of
from protectd.vault.snapshot import Snapshot
from protectd.vault.tags import checkpoint_of
from tests.damage.crash_program import (
    OPERATIONS,
    OPTIONS,
    SECOND_PASSWORD,
    STREAM,
    Stage,
    arrange,
    stream_text,
)
from tests.fakes.numbered_bank import MOMENTS
from tests.fakes.sampling import repeat, sample
from tests.fakes.servers import need_program
from tests.fakes.tree import Entry, differences, tree
from tests.fakes.vault_kit import Restic

CASES_OF_EACH = 2
ROOT = Path(__file__).parents[2]

Held = dict[str, set[str]]
"""Checkpoints by vault."""

HELD: dict[str, tuple[Held, Held]] = {
    "create": ({}, {"here": set()}),
    "save": ({"here": set()}, {"here": {"first"}}),
    "save again": ({"here": {"first"}}, {"here": {"first", "second"}}),
    "save a stream": ({"here": {"first", "second"}}, {"here": {"first", "second", "stream"}}),
    "forget and prune": ({"here": {"first", "second", "stream"}}, {"here": {"second", "stream"}}),
    "copy": (
        {"here": {"second", "stream"}, "there": set()},
        {"here": {"second", "stream"}, "there": {"second", "stream"}},
    ),
    **dict.fromkeys(
        ("repair the index", "add a key", "remove a key"),
        ({"here": {"second", "stream"}}, {"here": {"second", "stream"}}),
    ),
}
"""What the vaults hold before and after each operation."""


@dataclass(frozen=True)
class Case:
    operation: str
    number: int
    moment: str
    change: str

    def __str__(self) -> str:
        return f"{self.operation!r}: {self.moment} change {self.number} ({self.change}); {repeat()}"


class Rehearsal:
    """All operations have gone through once; each can be played again from what it began with."""

    def __init__(self, top: Path, engine: VaultEngine, restic: str) -> None:
        self.top = top
        self.stage = Stage(top, engine)
        self._restic = restic
        arrange(self.stage.source, 1)
        self._trees = {"first": tree(self.stage.source)}
        done = subprocess.run(self._command("all"), cwd=ROOT, capture_output=True, text=True)
        assert done.stdout.splitlines() == list(OPERATIONS), done.stderr
        self._trees["second"] = tree(self.stage.source)

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tests.damage.crash_program", str(self.top), *arguments]

    def cases(self, operation: str) -> list[Case]:
        changes = (self.top / "journals" / operation).read_text().splitlines()
        return [
            Case(operation, number, moment, change)
            for number, change in enumerate(changes, 1)
            for moment in MOMENTS[change.split()[0]]
        ]

    def begin(self, operation: str) -> None:
        """Have the vaults as they were before it."""
        shutil.rmtree(self.top / "banks")
        shutil.copytree(self.top / "before" / operation, self.top / "banks", copy_function=os.link)
        (self.top / "journal").unlink(missing_ok=True)

    def kill(self, case: Case) -> None:
        """Run the operation until it dies there, with all its processes."""
        command = self._command(case.operation, str(case.number), case.moment)
        with subprocess.Popen(
            command,
            cwd=ROOT,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            said, errors = process.communicate()
        assert process.returncode == -signal.SIGKILL, f"{case} was not reached: {said}{errors}"
        assert said == "", "nothing was acknowledged"
        while _any_lives(process.pid):
            time.sleep(0.01)

    def assert_holds(self, least: Held, most: Held) -> None:
        """Every vault holds at least and at most these checkpoints, and each that it holds is whole."""
        for vault, checkpoints in least.items():
            session = self.stage.session(vault)
            snapshots = session.snapshots()
            assert checkpoints <= set(map(checkpoint_of, snapshots)) <= most[vault]
            with ThreadPoolExecutor(2) as threads:
                for _ in threads.map(partial(self._assert_restores, vault), snapshots):
                    pass
                assert session.check(None, read_data=True).errors == ()
            done = self.restic(vault).run("check", "--read-data")
            assert done.returncode == 0, done.stdout + done.stderr

    def restic(self, vault: str) -> Restic:
        return Restic(self._restic, self.top / "banks" / vault)

    def second_password_opens(self) -> bool:
        return bool(keys_of(self.stage.bank(), SECOND_PASSWORD))

    def _assert_restores(self, vault: str, snapshot: Snapshot) -> None:
        checkpoint = checkpoint_of(snapshot)
        assert checkpoint is not None
        if checkpoint == "stream":
            pieces: list[bytes] = []
            self.stage.session(vault).restore_stream(snapshot.id, snapshot.tree, STREAM, pieces.append)
            assert b"".join(pieces) == stream_text()
        else:
            assert differences(self._trees[checkpoint], self._restored(vault, snapshot)) == []

    def _restored(self, vault: str, snapshot: Snapshot) -> dict[bytes, Entry]:
        target = self.top / "restored" / f"{vault} {snapshot.id}"
        shutil.rmtree(target, ignore_errors=True)
        report = self.stage.session(vault).restore_tree(
            snapshot.id, snapshot.tree, str(self.stage.source), str(target), RestoreOptions(trusted=True)
        )
        assert report.issues == ()
        return tree(target)

    def assert_clean(self, vault: str) -> None:
        """After a prune nothing is there that nobody needs, in our eyes and in those of restic."""
        session, bank = self.stage.session(vault), self.stage.bank(vault)
        assert session.check(None, read_data=False).hints == ()
        assert session.stats().unneeded_bytes == 0
        self.restic(vault).check()
        assert list(bank.list("locks")) == []
        self._age_temporary_files(vault)
        bank.prepare()
        assert self._temporary_files(vault) == []

    def _temporary_files(self, vault: str) -> list[Path]:
        paths = (self.top / "banks" / vault).rglob("*")
        return [path for path in paths if TEMPORARY.fullmatch(path.name)]

    def _age_temporary_files(self, vault: str) -> None:
        long_ago = time.time() - LEFTOVER_AGE_S - 60
        for path in self._temporary_files(vault):
            os.utime(path, (long_ago, long_ago))


def _any_lives(group: int) -> bool:
    """Whether the group has a process that is more than remains."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = path.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(pgrp) == group and state not in "ZX":
            return True
    return False


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    engine = VaultEngine(OPTIONS)
    yield Rehearsal(tmp_path_factory.mktemp("sweep"), engine, need_program("restic"))
    engine.close()


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_at_a_change_of_the_bank(rehearsal: Rehearsal, operation: str) -> None:
    before, after = HELD[operation]
    for case in sample(rehearsal.cases(operation), CASES_OF_EACH, of=operation):
        print(case)
        rehearsal.begin(operation)
        rehearsal.kill(case)
        least = {vault: held & after[vault] for vault, held in before.items()}
        most = {vault: before.get(vault, set()) | held for vault, held in after.items()}
        rehearsal.assert_holds(least, most)
        OPERATIONS[operation](rehearsal.stage)
        assert rehearsal.second_password_opens() == (operation == "add a key")
        for vault in after:
            rehearsal.stage.session(vault).prune()
        rehearsal.assert_holds(after, after)
        for vault in after:
            rehearsal.assert_clean(vault)
