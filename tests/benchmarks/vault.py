"""How fast and how large the vault is beside restic and borg, on the same data, in alternation.

    python -m tests.benchmarks.vault --help

Each round runs every program once through all cases on a new repository: first backup, backup of the
unchanged tree, restore, and a check of every byte. Medians over the rounds are printed. `warm` has its
processes running and the key derived, as in the service; `cold` starts both for each operation, as restic and
borg do. Memory is the sum of PSS over all processes, this one included for the vault. Nobody leaves out an
fsync.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Protocol

from protectd.common.clock import SystemClock
from protectd.common.reports import RestoreOptions, SaveReport
from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.vault.crypto import MasterKey
from protectd.vault.engine import VaultEngine, VaultSession
from protectd.vault.host import NICENESS
from protectd.vault.options import EngineOptions
from protectd.vault.repository import Repository
from tests.benchmarks.data import make_tree, measure_tree
from tests.benchmarks.measure import Cost, measured

CASES = ("first", "unchanged", "restore", "verify")
PASSWORD = "benchmark"
AS_NICE = ["nice", "-n", str(NICENESS)]
"""A busy machine shall treat all alike."""
GIB = 1024**3

Results = dict[tuple[str, str, str], list[Cost]]
"""By place, case and program."""


class Program(Protocol):
    name: str
    ours: bool

    def begin(self, repository: Path) -> None:
        """Make a new repository; not measured."""

    def run(self, case: str, source: Path, target: Path) -> None: ...

    def rest(self) -> None:
        """After a case, when its time has been taken."""

    def end(self) -> None: ...


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
        elif case == "restore":
            saved, options = self._saved, RestoreOptions(trusted=True)
            report = session.restore_tree(saved.snapshot_id, saved.tree_id, str(source), str(target), options)
            assert report.issue_count == 0, report.issues
        else:
            assert session.check(None, read_data=True).ok

    def rest(self) -> None: ...

    def end(self) -> None:
        self._engine.close()


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
        subprocess.run([*AS_NICE, "borg", *arguments], env=os.environ | environment, check=True, cwd=cwd)

    def rest(self) -> None: ...

    def end(self) -> None: ...


def programs(names: list[str], workers: int) -> list[Program]:
    options = EngineOptions(node="benchmark", workers=workers)
    makers: dict[str, Callable[[], Program]] = {
        "warm": lambda: Warm(options),
        "cold": lambda: Cold(options),
        "restic": Restic,
        "borg": Borg,
    }
    return [makers[name]() for name in names]


def one_round(program: Program, source: Path, place: Path, cases: list[str]) -> Iterator[tuple[str, Cost]]:
    """All cases on a new repository. Cases that were not asked for still run where later ones need them."""
    with tempfile.TemporaryDirectory(dir=place, prefix="benchmark-") as folder:
        program.begin(Path(folder, "repository"))
        needed = cases if cases == ["first"] else [case for case in CASES if case in cases or case == "first"]
        for case in needed:
            target = Path(folder, "target")
            os.sync()
            with measured(with_self=program.ours) as cost:
                program.run(case, source, target)
            program.rest()
            if case in cases:
                yield case, cost
            shutil.rmtree(target, ignore_errors=True)


def run(arguments: argparse.Namespace, source: Path, places: dict[str, Path]) -> Results:
    results: Results = {}
    for place, folder in places.items():
        for number in range(arguments.rounds):
            for program in programs(arguments.programs, arguments.workers):
                for case, cost in one_round(program, source, folder, arguments.cases):
                    results.setdefault((place, case, program.name), []).append(cost)
                    print(
                        f"round {number + 1} {place:6} {case:10} {program.name:11} {cost.wall_s:7.2f} s"
                        f" {cost.cpu_s:7.2f} s CPU {cost.peak_bytes / 2**20:6.0f} MiB",
                        flush=True,
                    )
                program.end()
    return results


def show(results: Results) -> None:
    """Medians, and how many times faster than restic and borg."""
    print(f"\n{'place':6} {'case':10} {'program':11} {'wall s':>8} {'CPU s':>8} {'PSS MiB':>8}  ratio to")
    for (place, case, name), costs in sorted(results.items()):
        wall = median(cost.wall_s for cost in costs)
        line = f"{place:6} {case:10} {name:11} {wall:8.2f} {median(c.cpu_s for c in costs):8.2f}"
        line += f" {max(c.peak_bytes for c in costs) / 2**20:8.0f}  "
        for other in ("restic", "borg"):
            theirs = results.get((place, case, other))
            if name.startswith("vault") and theirs:
                line += f"{other} {median(cost.wall_s for cost in theirs) / wall:.2f}  "
        print(line.rstrip())


@contextmanager
def data(arguments: argparse.Namespace) -> Iterator[Path]:
    if arguments.source is not None:
        yield arguments.source
        return
    with tempfile.TemporaryDirectory(dir=arguments.disk, prefix="benchmark-data-") as folder:
        source = Path(folder, "tree")
        make_tree(source, size=int(arguments.size * GIB), files=arguments.files)
        yield source


def words(allowed: tuple[str, ...]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := set(chosen) - set(allowed):
            raise argparse.ArgumentTypeError(f"{unknown} not in {allowed}")
        return chosen

    return parse


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = ("warm", "cold", "restic", "borg")
    made.add_argument("--cases", type=words(CASES), default=list(CASES), help=",".join(CASES))
    made.add_argument("--programs", type=words(every), default=list(every), help=",".join(every))
    made.add_argument("--places", type=words(("tmpfs", "disk")), default=["tmpfs", "disk"], help="tmpfs,disk")
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--size", type=float, default=2.2, help="GiB of data")
    made.add_argument("--files", type=int, default=52_000, help="at least so many")
    made.add_argument("--source", type=Path, help="measure with this directory instead of generated data")
    made.add_argument("--disk", type=Path, default=Path(tempfile.gettempdir()))
    made.add_argument("--tmpfs", type=Path, default=Path("/dev/shm"))
    made.add_argument("--workers", type=int, default=0, help="0 means one a core")
    return made


def main() -> None:
    arguments = parser().parse_args()
    places = {name: getattr(arguments, name) for name in arguments.places}
    with data(arguments) as source:
        files, size = measure_tree(source)
        print(f"{files} files, {size / GIB:.2f} GiB, {os.cpu_count()} cores")
        show(run(arguments, source, places))


if __name__ == "__main__":
    main()
