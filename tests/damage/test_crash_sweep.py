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
from dataclasses import dataclass
from pathlib import Path

import pytest

from protectd.plugin.banks.filesystem import LEFTOVER_AGE_S, TEMPORARY, FilesystemBank
from protectd.vault.engine import VaultEngine
from tests.fakes.numbered_bank import MOMENTS
from tests.fakes.sampling import repeat, sample
from tests.fakes.servers import need_program
from tests.fakes.tree import tree
from tests.fakes.vault_audit import Audit
from tests.fakes.vault_kit import Restic
from tests.fakes.vault_script import HELD, OPERATIONS, OPTIONS, Stage, arrange, least_held, most_held

CASES_OF_EACH = 1
ROOT = Path(__file__).parents[2]


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
        self.stage = Stage(top / "source", engine, lambda vault: FilesystemBank(top / "banks" / vault))
        arrange(self.stage.source, 1)
        trees = {"first": tree(self.stage.source)}
        done = subprocess.run(self._command("all"), cwd=ROOT, capture_output=True, text=True)
        assert done.stdout.splitlines() == list(OPERATIONS), done.stderr
        trees["second"] = tree(self.stage.source)
        programs = {vault: Restic(restic, top / "banks" / vault) for vault in ("here", "there")}
        self.audit = Audit(self.stage, trees, top / "restored", programs)

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

    def assert_no_temporary_file_lasts(self, vault: str) -> None:
        """What a death in the middle has left goes when the bank is made ready a day later."""
        self._age_temporary_files(vault)
        self.stage.bank(vault).prepare()
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
    audit, after = rehearsal.audit, HELD[operation][1]
    for case in sample(rehearsal.cases(operation), CASES_OF_EACH, of=operation):
        print(case)
        rehearsal.begin(operation)
        rehearsal.kill(case)
        audit.assert_holds(least_held(operation), most_held(operation))
        audit.assert_restic_agrees(HELD[operation][0])
        OPERATIONS[operation](rehearsal.stage)
        assert audit.second_password_opens() == (operation == "add a key")
        for vault in after:
            rehearsal.stage.session(vault).prune()
        audit.assert_holds(after, after)
        for vault in after:
            audit.assert_clean(vault)
            rehearsal.assert_no_temporary_file_lasts(vault)
