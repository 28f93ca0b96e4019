"""What a vault costs when it is large: time and memory that must not grow beyond their bounds.

    python -m tests.benchmarks.scale --help

`index`: opening a vault of so many blobs. `spread` and `flat`: so many tiny files, a thousand to a directory
or all in one. `holes`: a file of one terabyte with nothing in it. `stream`: a program's output. Memory is the
sum of PSS over all processes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from protectd.common.clock import SystemClock
from protectd.common.reports import RestoreOptions, SaveReport
from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.vault.engine import VaultEngine, VaultSession
from protectd.vault.index_files import index_file, pack_json
from protectd.vault.options import EngineOptions
from protectd.vault.pack import DATA, BlobEntry
from protectd.vault.repository import INDEX, Repository
from tests.benchmarks.measure import Cost, measured

PASSWORD = "benchmark"
FOLDER_FILES = 1000
FILE_BLOBS = 50_000
PACK_BLOBS = 1000
OPTIONS = EngineOptions(node="benchmark")
STREAM = """
import os, sys
pieces = [os.urandom(1 << 20) for _ in range(64)]
for number in range(int(sys.argv[1])):
    sys.stdout.buffer.write(pieces[number * number % 64])
"""


@contextmanager
def vault(folder: Path) -> Iterator[tuple[Repository, VaultSession]]:
    bank = FilesystemBank(folder / "repository")
    made = Repository.create(bank, PASSWORD, identity=OPTIONS.identity(), clock=SystemClock())
    engine = VaultEngine(OPTIONS)
    engine.warm()
    try:
        with engine.session(bank, made.key) as session:
            yield made, session
    finally:
        engine.close()


def tell(case: str, what: str, cost: Cost) -> None:
    print(f"{case:7} {what:30} {cost.wall_s:8.2f} s {cost.cpu_s:8.2f} s CPU {cost.peak_bytes >> 20:6} MiB")


def index(folder: Path, arguments: argparse.Namespace) -> None:
    with vault(folder) as (repository, _):
        for _ in range(arguments.blobs // FILE_BLOBS):
            packs = (pack_json(os.urandom(32), entries()) for _ in range(FILE_BLOBS // PACK_BLOBS))
            repository.save_unpacked(INDEX, index_file(packs))
        with measured(with_self=True) as cost:
            found = repository.load_index()
        tell("index", f"open {len(found):,} blobs", cost)
        del found
        tracemalloc.start()
        found = repository.load_index()
        held, peak = tracemalloc.get_traced_memory()
        print(f"index   {held / len(found):.0f} bytes a blob, {peak / len(found):.0f} while it is read")


def entries() -> Iterator[BlobEntry]:
    offset = 0
    for number in range(PACK_BLOBS):
        yield BlobEntry(DATA, os.urandom(32), offset, 5000 + number, 9000 + number)
        offset += 5000 + number


def spread(folder: Path, arguments: argparse.Namespace) -> None:
    for number in range(arguments.files):
        if number % FOLDER_FILES == 0:
            place = folder / "source" / f"{number // (FOLDER_FILES * 50)}" / f"{number // FOLDER_FILES}"
            place.mkdir(parents=True)
        (place / f"{number}.txt").write_text(f"{number}\n")
    cases(folder, "spread")


def flat(folder: Path, arguments: argparse.Namespace) -> None:
    (folder / "source").mkdir()
    for number in range(arguments.files):
        (folder / "source" / f"{number}.txt").write_text(f"{number}\n")
    cases(folder, "flat")


def holes(folder: Path, arguments: argparse.Namespace) -> None:
    (folder / "source").mkdir()
    with (folder / "source" / "tera").open("wb") as file:
        file.truncate(1 << 40)
    cases(folder, "holes")


def cases(folder: Path, name: str) -> None:
    source = folder / "source"
    with vault(folder) as (_, session):
        saved = save(name, "first backup", lambda: session.save_tree(str(source), tags=[]))
        save(name, "unchanged", lambda: session.save_tree(str(source), tags=[]))
        with measured(with_self=True) as cost:
            session.restore_tree(
                saved.snapshot_id,
                saved.tree_id,
                str(source),
                str(folder / "target"),
                RestoreOptions(trusted=True),
            )
        tell(name, "restore", cost)


def save(name: str, what: str, run: Callable[[], SaveReport]) -> SaveReport:
    with measured(with_self=True) as cost:
        saved = run()
    tell(name, f"{what} of {saved.files:,} files", cost)
    return saved


def stream(folder: Path, arguments: argparse.Namespace) -> None:
    command = [sys.executable, "-c", STREAM, str(arguments.stream << 10)]
    with vault(folder) as (_, session):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            output = process.stdout
            saved = save(
                "stream",
                f"save {arguments.stream} GiB",
                lambda: session.save_stream(output, "dump", tags=[]),
            )
        with measured(with_self=True) as cost:
            size = session.restore_stream(saved.snapshot_id, saved.tree_id, "dump", len)
        tell("stream", f"restore {size >> 30} GiB", cost)


ALL: dict[str, Callable[[Path, argparse.Namespace], None]] = {
    "index": index,
    "spread": spread,
    "flat": flat,
    "holes": holes,
    "stream": stream,
}


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("cases", nargs="*", choices=[*ALL, []], help="default: all")
    made.add_argument("--blobs", type=int, default=10_000_000)
    made.add_argument("--files", type=int, default=1_000_000)
    made.add_argument("--stream", type=int, default=10, metavar="GIB")
    made.add_argument("--disk", type=Path, default=Path(tempfile.gettempdir()))
    arguments = made.parse_args()
    print(f"{os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}")
    for name in arguments.cases or ALL:
        folder = Path(tempfile.mkdtemp(dir=arguments.disk, prefix="benchmark-scale-"))
        try:
            ALL[name](folder, arguments)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
