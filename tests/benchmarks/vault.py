"""How fast and how large the vault is beside restic and borg, on the same data, in alternation.

    python -m tests.benchmarks.vault --help

Each round runs every program once through all cases on a new repository: first backup, backup of the
unchanged tree, restore, and a check of every byte. Medians over the rounds are printed. `warm` has its
processes running and the key derived, as in the service; `cold` starts both for each operation, as restic and
borg do. Memory is the sum of PSS over all processes, this one included for the vault. Nobody leaves out an
fsync. `least` is what the bytes alone would take on all cores, by the speed of each step measured just
before: reading, cutting, hashing, compressing, sealing, writing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import NamedTuple

from protectd.common.units import MIB
from protectd.vault.options import EngineOptions
from tests.benchmarks.data import SETS, make_set, measure_tree
from tests.benchmarks.limits import Limits, measure_limits
from tests.benchmarks.measure import Cost, measured
from tests.benchmarks.programs import CASES, Program, programs

PEERS = ("restic", "borg")
_REPORTING = Path("/sys/module/page_reporting/parameters/page_reporting_order")
_HIGHEST_ORDER = 10


class Row(NamedTuple):
    data: str
    place: str
    case: str
    program: str


Results = dict[Row, list[Cost]]


def one_round(program: Program, source: Path, place: Path, cases: list[str]) -> Iterator[tuple[str, Cost]]:
    """All cases on a new repository. Cases that were not asked for still run where later ones need them."""
    read_all(source)
    with tempfile.TemporaryDirectory(dir=place, prefix="benchmark-") as folder:
        program.begin(Path(folder, "repository"))
        needed = cases if cases == ["first"] else [case for case in CASES if case in cases or case == "first"]
        for case in needed:
            target = Path(folder, "target")
            os.sync()
            with measured(with_self=program.ours) as cost:
                program.run(case, source, target)
            program.rest()
            cost.stored_bytes = measure_tree(Path(folder, "repository"))[1]
            if case in cases:
                yield case, cost
            shutil.rmtree(target, ignore_errors=True)


def read_all(source: Path) -> None:
    """borg has the kernel forget what it has read: whoever came next would read from the disk."""
    buffer = bytearray(MIB)
    for folder, _, names in os.walk(source):
        for path in (Path(folder, name) for name in names):
            if path.is_file() and not path.is_symlink():
                with path.open("rb", buffering=0) as file:
                    while file.readinto(buffer):
                        pass


def run(arguments: argparse.Namespace, data: str, source: Path, place: str, folder: Path) -> Results:
    """All rounds with one set of data in one place."""
    results: Results = {}
    # In a process of its own: what it holds shall not count as the vault's.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        limits = process.submit(measure_limits, source, folder).result()
    print(f"{data} on {place}: {limits}", flush=True)
    options = EngineOptions(node="benchmark", workers=arguments.workers)
    for number in range(arguments.rounds):
        for program in rotated(programs(arguments.programs, options), number):
            for case, cost in one_round(program, source, folder, arguments.cases):
                results.setdefault(Row(data, place, case, program.name), []).append(cost)
                print(
                    f"round {number + 1} {data:5} {place:6} {case:10} {program.name:11} {cost.wall_s:7.2f} s"
                    f" {cost.cpu_s:7.2f} s CPU {cost.peak_bytes / 2**20:6.0f} MiB"
                    f" {cost.stored_bytes / 1e6:8.1f} MB stored",
                    flush=True,
                )
            if any(program.added()):
                add_least(results, data, place, limits, program, options)
            program.end()
    return results


def rotated(programs: Iterable[Program], number: int) -> list[Program]:
    """Each comes first in some round: whoever does pays for the memory that the round before has let go."""
    made = list(programs)
    first = number % len(made)
    return made[first:] + made[:first]


def add_least(
    results: Results, data: str, place: str, limits: Limits, program: Program, options: EngineOptions
) -> None:
    """As a program that does nothing but what the bytes ask for."""
    for case in ("first", "restore", "verify"):
        if Row(data, place, case, program.name) in results:
            wall = limits.least_s(case, *program.added(), options.worker_count)
            results[Row(data, place, case, "least")] = [Cost(wall, wall * options.worker_count, 0)]


def show(results: Results) -> None:
    """Medians, and how many times faster than restic and borg."""
    heads = f"{'data':5} {'place':6} {'case':10} {'program':11}"
    print(f"\n{heads} {'wall s':>8} {'CPU s':>8} {'PSS MiB':>8} {'MB':>8}  ratio to")
    for row, costs in sorted(results.items()):
        wall = median(cost.wall_s for cost in costs)
        line = f"{row.data:5} {row.place:6} {row.case:10} {row.program:11} {wall:8.2f}"
        line += f" {median(c.cpu_s for c in costs):8.2f} {max(c.peak_bytes for c in costs) / 2**20:8.0f}"
        line += f" {median(c.stored_bytes for c in costs) / 1e6:8.0f}  "
        for other in PEERS:
            theirs = results.get(row._replace(program=other))
            if theirs and row.program not in PEERS:
                line += f"{other} {median(cost.wall_s for cost in theirs) / wall:.2f}  "
        print(line.rstrip())


def tell_machine() -> None:
    """What moves all figures, whoever runs."""
    print(f"{os.cpu_count()} cores, {os.uname().machine}")
    try:
        order = int(_REPORTING.read_text())
    except (OSError, ValueError):
        return
    if order <= _HIGHEST_ORDER:
        print("free memory goes back to the host here: its first touch is dear, for every program")


@contextmanager
def source_of(arguments: argparse.Namespace, name: str) -> Iterator[Path]:
    if arguments.source is not None:
        yield arguments.source / name
        return
    with tempfile.TemporaryDirectory(dir=arguments.disk, prefix="benchmark-data-") as folder:
        source = Path(folder, name)
        files = arguments.files if name == "mixed" else arguments.small_files
        make_set(name, source, size=int(arguments.size * 1e9), files=files)
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
    made.add_argument("--sets", type=words(SETS), default=list(SETS), help=",".join(SETS))
    made.add_argument("--cases", type=words(CASES), default=list(CASES), help=",".join(CASES))
    made.add_argument("--programs", type=words(every), default=list(every), help=",".join(every))
    made.add_argument("--places", type=words(("tmpfs", "disk")), default=["tmpfs", "disk"], help="tmpfs,disk")
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--size", type=float, default=4.0, help="GB of the mixed and the large set")
    made.add_argument("--files", type=int, default=60_000, help="of the mixed set, at least")
    made.add_argument("--small-files", type=int, default=100_000, help="of the small set")
    made.add_argument("--source", type=Path, help="a directory with data instead, one directory a set")
    made.add_argument("--disk", type=Path, default=Path(tempfile.gettempdir()))
    made.add_argument("--tmpfs", type=Path, default=Path("/dev/shm"))
    made.add_argument("--workers", type=int, default=0, help="0 means one a core")
    return made


def main() -> None:
    arguments = parser().parse_args()
    tell_machine()
    results: Results = {}
    for name in arguments.sets:
        with source_of(arguments, name) as source:
            files, size = measure_tree(source)
            print(f"{name}: {files} files, {size / 1e9:.2f} GB", flush=True)
            for place in arguments.places:
                results |= run(arguments, name, source, place, getattr(arguments, place))
    show(results)


if __name__ == "__main__":
    main()
