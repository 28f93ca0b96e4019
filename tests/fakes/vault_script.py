"""Operations on two vaults, in the order in which they belong: each can be cut off, and run again."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

from protectd.common.clock import SystemClock
from protectd.common.units import KIB
from protectd.plugin.base import BankPlugin
from protectd.vault.engine import VaultEngine, VaultSession
from protectd.vault.errors import VaultExists
from protectd.vault.key_files import add_key, list_keys, remove_key
from protectd.vault.options import EngineOptions
from protectd.vault.repository import Repository
from protectd.vault.tags import CHECKPOINT_TAG, checkpoint_of
from tests.fakes.vault_kit import CHEAP, PASSWORD, new_vault

OPTIONS = EngineOptions(node="crash", workers=1, pack_bytes=32 * KIB, lock_wait_s=5)
SECOND_PASSWORD = "another one"
STREAM = "dump"
_MOMENT_NS = 1_700_000_000_123_456_789


class Stage:
    """The vaults "here" and "there", each in the bank of its name, a source, and an engine on them."""

    def __init__(self, source: Path, engine: VaultEngine, bank: Callable[[str], BankPlugin]) -> None:
        self.source = source
        self.bank = bank
        self._engine = engine

    def open(self, vault: str) -> Repository:
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


# --- operations ---


def create(stage: Stage) -> None:
    try:
        new_vault(stage.bank("here"))
    except VaultExists:
        stage.open("here")


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
    add_key(stage.open("here"), SECOND_PASSWORD, OPTIONS.identity(), SystemClock(), cost=CHEAP)


def remove(stage: Stage) -> None:
    """All that opens with the second password."""
    for key in list_keys(stage.bank("here"), SECOND_PASSWORD):
        if key.current:
            remove_key(stage.open("here"), key.id, PASSWORD, OPTIONS.identity(), SystemClock(), wait_s=5)


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


def least_held(operation: str) -> Held:
    """What is there at any instant of it."""
    before, after = HELD[operation]
    return {vault: held & after[vault] for vault, held in before.items()}


def most_held(operation: str) -> Held:
    before, after = HELD[operation]
    return {vault: before.get(vault, set()) | held for vault, held in after.items()}
