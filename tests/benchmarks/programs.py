"""The vault, restic and borg as a benchmark runs them: the same cases on the same data."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from protectd.common.clock import SystemClock
from protectd.common.reports import RestoreOptions, SaveReport
from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.vault.crypto import MasterKey
from protectd.vault.engine import VaultEngine, VaultSession
from protectd.vault.host import NICENESS
from protectd.vault.options import EngineOptions
from protectd.vault.repository import Repository

CASES = ("first", "unchanged", "restore", "verify")
PASSWORD = "benchmark"
AS_NICE = ["nice", "-n", str(NICENESS)]
"""A busy machine shall treat all alike."""


class Program(Protocol):
    name: str
    ours: bool

    def begin(self, repository: Path) -> None:
        """Make a new repository; not measured."""

    def run(self, case: str, source: Path, target: Path) -> None: ...

    def rest(self) -> None:
        """After a case, when its time has been taken."""

    def end(self) -> None: ...

    def added(self) -> tuple[int, int]:
        """Plain and stored bytes of the first backup; zeros when it does not tell."""


class Warm:
    """The vault as a service uses it."""

    name, ours = "vault warm", True

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._engine = VaultEngine(options)

    def begin(self, repository: Path) -> None:
        self._bank = FilesystemBank(repository)
        vault = Repository.create(
            self._bank, PASSWORD, identity=self._options.identity(), clock=SystemClock()
        )
        self._key: MasterKey = vault.key
        self._engine.warm()

    def run(self, case: str, source: Path, target: Path) -> None:
        with self._engine.session(self._bank, self._key) as session:
            self._run(session, case, source, target)

    def _run(self, session: VaultSession, case: str, source: Path, target: Path) -> None:
        if case in ("first", "unchanged"):
            self._saved: SaveReport = session.save_tree(str(source), tags=[])
            assert case == "first" or self._saved.read_bytes == 0
            if case == "first":
                self._added = self._saved.added_bytes, self._saved.stored_bytes
        elif case == "restore":
            saved, options = self._saved, RestoreOptions(trusted=True)
            report = session.restore_tree(saved.snapshot_id, saved.tree_id, str(source), str(target), options)
            assert report.issue_count == 0, report.issues
        else:
            assert session.check(None, read_data=True).ok

    def rest(self) -> None: ...

    def end(self) -> None:
        self._engine.close()

    def added(self) -> tuple[int, int]:
        return self._added


class Cold(Warm):
    """The vault as one command would use it: processes start and the key is derived each time."""

    name = "vault cold"

    def begin(self, repository: Path) -> None:
        super().begin(repository)
        self._engine.close()

    def run(self, case: str, source: Path, target: Path) -> None:
        self._engine = VaultEngine(self._options)
        self._key = Repository.open(self._bank, PASSWORD).key
        super().run(case, source, target)

    def rest(self) -> None:
        self._engine.close()


class Restic:
    name, ours = "restic", False

    def begin(self, repository: Path) -> None:
        self._repository = repository
        self._restic("init")

    def run(self, case: str, source: Path, target: Path) -> None:
        arguments = {
            "first": ["backup", str(source)],
            "unchanged": ["backup", str(source)],
            "restore": ["restore", "latest", "--target", str(target)],
            "verify": ["check", "--read-data"],
        }
        self._restic(*arguments[case])

    def _restic(self, *arguments: str) -> None:
        environment = {
            "RESTIC_PASSWORD": PASSWORD,
            "RESTIC_CACHE_DIR": f"{self._repository}-cache",
            "RESTIC_PROGRESS_FPS": "0.1",
        }
        command = [*AS_NICE, "restic", "-q", "-r", str(self._repository), *arguments]
        subprocess.run(command, env=os.environ | environment, check=True, stdout=subprocess.DEVNULL)

    def rest(self) -> None: ...

    def end(self) -> None: ...

    def added(self) -> tuple[int, int]:
        return 0, 0


class Borg:
    name, ours = "borg", False

    def begin(self, repository: Path) -> None:
        self._repository = repository
        self._number = 0
        self._borg("init", "--encryption=repokey", str(repository))

    def run(self, case: str, source: Path, target: Path) -> None:
        if case in ("first", "unchanged"):
            self._number += 1
            archive = f"{self._repository}::{self._number}"
            self._borg("create", "--compression=zstd,1", archive, str(source))
        elif case == "restore":
            target.mkdir()
            self._borg("extract", f"{self._repository}::{self._number}", cwd=target)
        else:
            self._borg("check", "--verify-data", str(self._repository))

    def _borg(self, *arguments: str, cwd: Path | None = None) -> None:
        environment = {"BORG_PASSPHRASE": PASSWORD, "BORG_BASE_DIR": f"{self._repository}-base"}
        command = [*AS_NICE, "borg", "--error", *arguments]
        subprocess.run(command, env=os.environ | environment, check=True, cwd=cwd)

    def rest(self) -> None: ...

    def end(self) -> None: ...

    def added(self) -> tuple[int, int]:
        return 0, 0


def programs(names: list[str], options: EngineOptions) -> list[Program]:
    makers: dict[str, Callable[[], Program]] = {
        "warm": lambda: Warm(options),
        "cold": lambda: Cold(options),
        "restic": Restic,
        "borg": Borg,
    }
    return [makers[name]() for name in names]
