"""What the crash sweep kills: operations on two vaults, each acknowledged by a line once it has ended.

`python -m tests.damage.crash_program TOP OPERATION NUMBER MOMENT` dies at that change of a bank.
`python -m tests.damage.crash_program TOP all` runs all, and keeps what each begins with in `TOP/before/NAME`.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from protectd.common.clock import SystemClock
from protectd.common.units import KIB
from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.vault.engine import VaultEngine, VaultSession
from protectd.vault.errors import VaultExists
from protectd.vault.key_files import add_key, list_keys, remove_key
from protectd.vault.options import EngineOptions
from protectd.vault.repository import Repository
from protectd.vault.tags import CHECKPOINT_TAG, checkpoint_of
from tests.fakes.numbered_bank import Death, NumberedBank
from tests.fakes.vault_kit import CHEAP, PASSWORD, new_vault

OPTIONS = EngineOptions(node="crash", workers=1, pack_bytes=32 * KIB, lock_wait_s=5)
SECOND_PASSWORD = "another one"
STREAM = "dump"
_MOMENT_NS = 1_700_000_000_123_456_789


class Stage:
    """Two vaults, a source and an engine. The vaults lie in `TOP/banks`, the source in `TOP/source`."""

    def __init__(
        self, top: Path, engine: VaultEngine, bank: Callable[[Path], FilesystemBank] = FilesystemBank
    ) -> None:
        self.top = top
        self.source = top / "source"
        self._engine = engine
        self._bank = bank

    def bank(self, vault: str = "here") -> FilesystemBank:
        return self._bank(self.top / "banks" / vault)

    def open(self, vault: str = "here") -> Repository:
        return Repository.open(self.bank(vault), PASSWORD)

    def session(self, vault: str = "here") -> VaultSession:
        return VaultSession(self._engine, self.bank(vault), self.open(vault).key)


def tag(checkpoint: str) -> str:
    return CHECKPOINT_TAG + checkpoint


# --- what is saved ---


def stream_text() -> bytes:
    return random.Random("stream").randbytes(1_500_000)


def arrange(source: Path, generation: int) -> None:
    """Have the source as it is in the first or second generation; what is the same in both is not touched."""
    for number in range(24):
        _keep(source / f"d{number % 3}/f{number}", random.Random(number).randbytes(2_000 + 300 * number))
    _keep(source / "large", random.Random("large").randbytes(900_000))
    _keep(source / "d0/changes", random.Random(f"changes {generation}").randbytes(40_000))
    if generation == 1:
        _keep(source / "d1/goes", random.Random("goes").randbytes(3_000))
        (source / "comes").unlink(missing_ok=True)
    else:
        _keep(source / "comes", random.Random("comes").randbytes(50_000))
        (source / "d1/goes").unlink(missing_ok=True)
    if not (source / "link").is_symlink():
        (source / "link").symlink_to("d0/f0")
        os.link(source / "d0/f3", source / "d2/further name")
    for path in (*source.rglob("*"), source):
        if path.is_dir() or path.is_symlink() or path.stat().st_mtime_ns != _MOMENT_NS:
            os.utime(path, ns=(_MOMENT_NS, _MOMENT_NS), follow_symlinks=False)


def _keep(path: Path, content: bytes) -> None:
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


# --- operations: each may be run again after it was killed ---


def create(stage: Stage) -> None:
    try:
        new_vault(stage.bank())
    except VaultExists:
        stage.open()


def save(stage: Stage, checkpoint: str, generation: int) -> None:
    arrange(stage.source, generation)
    report = stage.session().save_tree(str(stage.source), tags=[tag(checkpoint)])
    assert report.issues == ()


def save_stream(stage: Stage) -> None:
    stage.session().save_stream(io.BytesIO(stream_text()), STREAM, tags=[tag("stream")])


def forget_and_prune(stage: Stage) -> None:
    session = stage.session()
    session.forget([each.id for each in session.snapshots() if checkpoint_of(each) == "first"])
    session.prune()


def copy(stage: Stage) -> None:
    report = stage.session().copy(stage.session("there"))
    assert report.ok, report.errors


def repair_index(stage: Stage) -> None:
    report = stage.session().repair_index(read_all=True)
    assert report.ok, report


def add(stage: Stage) -> None:
    add_key(stage.open(), SECOND_PASSWORD, OPTIONS.identity(), SystemClock(), cost=CHEAP)


def remove(stage: Stage) -> None:
    """All that opens with the second password."""
    for key in list_keys(stage.bank(), SECOND_PASSWORD):
        if key.current:
            remove_key(stage.open(), key.id, PASSWORD, OPTIONS.identity(), SystemClock(), wait_s=5)


OPERATIONS: dict[str, Callable[[Stage], None]] = {
    "create": create,
    "save": partial(save, checkpoint="first", generation=1),
    "save again": partial(save, checkpoint="second", generation=2),
    "save a stream": save_stream,
    "forget and prune": forget_and_prune,
    "copy": copy,
    "repair the index": repair_index,
    "add a key": add,
    "remove a key": remove,
}


# --- the program ---


def run_all(top: Path) -> None:
    """Each with a journal of its own, `TOP/journals/NAME`."""
    new_vault(FilesystemBank(top / "banks/there"))
    engine = VaultEngine(OPTIONS)
    for name, operation in OPERATIONS.items():
        shutil.copytree(top / "banks", top / "before" / name, copy_function=os.link)
        journal = top / "journals" / name
        journal.parent.mkdir(exist_ok=True)
        operation(Stage(top, engine, partial(NumberedBank, journal=journal)))
        print(name, flush=True)


def run_one(top: Path, name: str, death: Death) -> None:
    bank = partial(NumberedBank, journal=top / "journal", death=death)
    OPERATIONS[name](Stage(top, VaultEngine(OPTIONS), bank))
    print(name, flush=True)


if __name__ == "__main__":
    if sys.argv[2] == "all":
        run_all(Path(sys.argv[1]))
    else:
        run_one(Path(sys.argv[1]), sys.argv[2], Death(int(sys.argv[3]), sys.argv[4]))
