"""Operations of one vault that take turns: what they begin with, what they save, what they have to find."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from protectd.common.clock import SystemClock
from protectd.common.progress import Progress
from protectd.common.reports import RestoreOptions
from protectd.plugin.base import BankPlugin
from protectd.vault.choosing import choose_one
from protectd.vault.copy import CopyVault
from protectd.vault.crypto import MasterKey
from protectd.vault.errors import PacksInUse, VaultLocked
from protectd.vault.forget import forget
from protectd.vault.locks import shared_lock
from protectd.vault.maintenance import PruneVault
from protectd.vault.options import EngineOptions
from protectd.vault.pack import DATA, TREE
from protectd.vault.prune import Waits
from protectd.vault.reading import reading
from protectd.vault.repository import BlobReader, Repository, WriterIdentity
from protectd.vault.restore import RestoreTree
from protectd.vault.save import SaveTree
from protectd.vault.save_stream import SaveStream
from protectd.vault.snapshot import Snapshot
from protectd.vault.stats import CountVault
from protectd.vault.tree import decode_tree
from protectd.vault.verify import CheckVault
from tests.fakes.interleaving import Owner, SharedBank, Turns, Workers, taking_turns
from tests.fakes.vault_kit import ME, new_vault

PACK_BYTES = 2_000
_ATTEMPTS = 6

Files = Mapping[bytes, bytes]
"""Content by the path below the directory that was saved."""


def _text(number: int) -> bytes:
    return random.Random(number).randbytes(500 + 40 * number)


def _files(*numbers: int) -> Files:
    return {b"d%d/f%d" % (number % 2, number): _text(number) for number in numbers}


EXPECTED: Mapping[str, Files] = {
    "kept": _files(0, 1, 2, 3),
    "former": _files(4, 5, 6, 7, 8, 9),
    "gone": _files(3, 8, 10, 11, 12, 13),
    "old": _files(4, 6, 7, 8, 9),
    "a": _files(4, 5, 8, 10, 14, 15),
    "b": _files(4, 6, 10, 11, 14, 15, 0),
    "elsewhere": _files(5, 9, 12, 15, 16),
    "stream": {b"stream": b"".join(map(_text, (4, 12, 15)))},
}
"""By the tag of a snapshot. `former` is what the directory `old` held before."""


@dataclass(frozen=True, slots=True)
class OfProcess(EngineOptions):
    """Of an operation in a process of its own, as its locks tell."""

    pid: int = 0

    def identity(self) -> WriterIdentity:
        return WriterIdentity(f"protectd-{self.node}", self.username, self.pid)


def options_of(pid: int) -> OfProcess:
    return OfProcess(node="test", workers=2, pack_bytes=PACK_BYTES, lock_wait_s=0, in_process=True, pid=pid)


class Sources:
    """The directories that are saved."""

    def __init__(self, top: Path) -> None:
        self._top = top

    def path(self, name: str) -> Path:
        return self._top / ("old" if name == "former" else name)

    def write(self, name: str) -> None:
        top = self.path(name)
        shutil.rmtree(top, ignore_errors=True)
        for inner, content in EXPECTED[name].items():
            path = top / os.fsdecode(inner)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for path in (*top.rglob("*"), top):
            os.utime(path, ns=(10**18, 10**18))


class Vault:
    """:ivar acknowledged: tags of the snapshots that a backup has told of, by id."""

    def __init__(self, bank: BankPlugin, key: MasterKey, sources: Sources, workers: Workers) -> None:
        self.repository = Repository.with_key(bank, key)
        self._bank, self._key = bank, key
        self._sources = sources
        self._workers = workers
        self.acknowledged: dict[str, str] = {}

    def save(self, name: str, options: EngineOptions) -> None:
        source = str(self._sources.path(name))
        role = SaveTree(self._bank, self._key, options, source, (name,), None, (), own_process=False)
        report = role.run(Owner(), self._workers)
        assert report.issues == ()
        self.acknowledged[report.snapshot_id] = name

    def save_stream(self, options: EngineOptions) -> None:
        source = str(self._sources.path("stream") / "stream")
        role = SaveStream(self._bank, self._key, options, source, "stream", ("stream",))
        self.acknowledged[role.run(Owner(), self._workers).snapshot_id] = "stream"

    def copy_in(self, bank: BankPlugin, key: MasterKey, options: EngineOptions) -> None:
        role = CopyVault(bank, key, self._bank, self._key, options, None)
        report = role.run(Owner(), self._workers)
        assert report.ok, report.errors
        self.acknowledged.update((new, "elsewhere") for _, new in report.copied)

    def restore(self, name: str, snapshot: Snapshot, target: Path, options: EngineOptions) -> None:
        role = RestoreTree(
            bank=self._bank,
            key=self._key,
            engine=options,
            snapshot_id=snapshot.id,
            tree_id=snapshot.tree,
            source=str(self._sources.path(name)),
            target=str(target),
            options=RestoreOptions(trusted=True),
        )
        report = role.run(Owner(), self._workers)
        assert report.issues == (), report.issues
        files = (path for path in target.rglob("*") if path.is_file())
        assert {os.fsencode(path.relative_to(target)): path.read_bytes() for path in files} == EXPECTED[name]

    def cat(self, name: str, snapshot: Snapshot, options: EngineOptions) -> None:
        with reading(self.repository, options, Progress()) as look:
            snapshot = choose_one(look.snapshots(), snapshot.id)
            for path, content in EXPECTED[name].items():
                pieces: list[bytes] = []
                look.cat(snapshot, path, pieces.append)
                assert b"".join(pieces) == content

    def stats(self, options: EngineOptions) -> None:
        report = CountVault(self._bank, self._key, options).run(Owner(), self._workers)
        assert report.errors == (), report.errors

    def check(self, options: EngineOptions) -> None:
        report = CheckVault(self._bank, self._key, options, None, True).run(Owner(), self._workers)
        assert report.ok, report.errors

    def forget(self, snapshot: Snapshot) -> None:
        forget(self.repository, [snapshot.id])

    def prune(self, options: EngineOptions, waits: Waits | None, rest: Callable[[], None]) -> None:
        """As a task does it: one that has to wait comes again later, and knows what for. One that never ends
        is no fault: others may be at work all the time."""
        for _ in range(_ATTEMPTS):
            try:
                PruneVault(self._bank, self._key, options, waits, 0).run(Owner(), self._workers)
                return
            except PacksInUse as error:
                waits = waits_of(error)
            except VaultLocked:
                pass
            rest()

    def contents(self, snapshot: Snapshot) -> Files:
        """All files of a snapshot, below the directory that was saved."""
        reader = BlobReader(self.repository, self.repository.load_index_to_read())
        files = dict(_each_file(reader, snapshot.tree_id, b""))
        if snapshot.tags == ("stream",):
            return files
        top = os.fsencode(self._sources.path(snapshot.tags[0])).lstrip(b"/") + b"/"
        return {path.removeprefix(top): content for path, content in files.items()}


def waits_of(error: PacksInUse) -> Waits:
    return Waits(frozenset(error.facts["files"]), frozenset(error.facts["operations"]))


def _each_file(reader: BlobReader, tree_id: bytes, path: bytes):
    for node in decode_tree(reader.load(TREE, tree_id)):
        if node.subtree is not None:
            yield from _each_file(reader, node.subtree, path + node.name + b"/")
        else:
            yield path + node.name, b"".join(reader.load(DATA, each) for each in node.content or ())


def alone(bank: SharedBank, key: MasterKey, sources: Sources, do: Callable[[Vault, OfProcess], None]) -> None:
    """One operation, with nobody beside it."""
    turns = Turns(lambda ready: ready[0])
    bank.turns = turns
    with taking_turns(turns) as workers:
        vault = Vault(bank, key, sources, workers)
        operation = turns.add("alone", lambda: do(vault, options_of(os.getpid())))
        turns.run()
    bank.turns = None
    if operation.outcome.error is not None:
        raise operation.outcome.error


@dataclass
class Beginning:
    """A vault that holds `kept` and `former`, and what only the forgotten `gone` needed. It may be marked."""

    bank: SharedBank
    waits: Waits | None = None


@dataclass
class Setting:
    """
    :ivar snapshots: by tag. :ivar elsewhere: another vault, with a snapshot that is not in the first.
    """

    sources: Sources
    key: MasterKey
    plain: Beginning
    marked: Beginning
    elsewhere: tuple[SharedBank, MasterKey]
    snapshots: dict[str, Snapshot] = field(default_factory=dict)


def make_setting(top: Path) -> Setting:
    sources = Sources(top)
    bank, other = SharedBank(), SharedBank()
    here, there = new_vault(bank), new_vault(other)
    for name in ("kept", "former", "gone"):
        _save(sources, bank, here.key, name)
    _save(sources, other, there.key, "elsewhere")
    snapshots = {snapshot.tags[0]: snapshot for snapshot in here.snapshots()}
    forget(here, [snapshots["gone"].id])
    for name in ("old", "a", "b", "stream"):
        sources.write(name)
    marked = _marked(sources, bank.copy(), here.key)
    return Setting(sources, here.key, Beginning(bank), marked, (other, there.key), snapshots)


def _save(sources: Sources, bank: SharedBank, key: MasterKey, name: str) -> None:
    sources.write(name)
    alone(bank, key, sources, lambda vault, options: vault.save(name, options))


def _marked(sources: Sources, bank: SharedBank, key: MasterKey) -> Beginning:
    """A prune went as far as it goes while someone else is there."""
    found: list[Waits] = []

    def prune_beside_a_reader(vault: Vault, options: OfProcess) -> None:
        with shared_lock(vault.repository, ME, SystemClock()):
            try:
                PruneVault(bank, key, options, None, 0).run(Owner(), None)
            except PacksInUse as error:
                found.append(waits_of(error))

    alone(bank, key, sources, prune_beside_a_reader)
    return Beginning(bank, found[0])
