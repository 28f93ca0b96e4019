"""The data engine as the rest of the service sees it: sessions on vaults, work in child processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from protectd.common.progress import Progress
from protectd.common.reports import (
    CheckReport,
    CopyReport,
    PruneReport,
    RepairReport,
    RestoreOptions,
    RestorePreview,
    RestoreReport,
    SaveReport,
    VaultStats,
)
from protectd.plugin.base import BankPlugin
from protectd.vault.copy import CopyVault
from protectd.vault.crypto import MasterKey
from protectd.vault.errors import WorkerLost
from protectd.vault.findings import MAKE_AGAIN, Damage
from protectd.vault.forget import forget
from protectd.vault.key_session import Keys
from protectd.vault.maintenance import PruneVault
from protectd.vault.notes import Notes, notes
from protectd.vault.operation import BEGUN, CANCEL, COUNTS, GO, READY
from protectd.vault.options import EngineOptions
from protectd.vault.pack_share import PackShare
from protectd.vault.pool import DONE, FAILED, Place, Pool, ProcessPool, Role, ThreadPool, receive, send
from protectd.vault.preview import PreviewTree
from protectd.vault.prune import Waits
from protectd.vault.reading import Reading, reading
from protectd.vault.repair_index import RepairIndex
from protectd.vault.repository import Repository
from protectd.vault.restore import RestoreTree
from protectd.vault.save import SaveTree
from protectd.vault.save_stream import SaveStream
from protectd.vault.snapshot import Snapshot
from protectd.vault.sources import plain_name, readable
from protectd.vault.stats import CountVault
from protectd.vault.verify import CheckVault
from protectd.vault.warm import WarmPlanner

_POLL_S = 0.2
CANCEL_GRACE_S = 6.0
_MAX_IDLE_PLANNERS = 2


class VaultEngine:
    """Runs operations on vaults. Thread safe; any number of sessions and operations at once.

    Each operation has a planner process with its workers, so that the caller's process stays free to serve.
    They are kept warm between operations, and die with this process.
    """

    def __init__(self, options: EngineOptions | None = None) -> None:
        self.options = options or EngineOptions()
        options = self.options
        self._processes = ProcessPool(_MAX_IDLE_PLANNERS, held=options.held, prepare=options.prepare)
        self._threads = ThreadPool()

    @contextmanager
    def session(self, bank: BankPlugin, key: MasterKey) -> Iterator[VaultSession]:
        """An open vault. The bank holds a repository that `key` opens; each operation proves it."""
        yield VaultSession(self, bank, key)

    def warm(self) -> None:
        """Start the first planner and its workers now, so that the first operation need not wait for them."""
        if self.options.in_process:
            return
        place = self._processes.start(WarmPlanner(self.options))
        receive(place)
        self._processes.release(place)

    def close(self) -> None:
        """End the idle processes. Operations under way in other threads go on to their end."""
        self._processes.close()

    def runs_in_threads(self, bank: BankPlugin) -> bool:
        return self.options.in_process or not bank.shared

    def run(
        self,
        bank: BankPlugin,
        role: Role,
        progress: Progress | None,
        begin: Callable[[], None] | None = None,
    ) -> Any:
        """Run a planner's role and wait for it. What `progress.check` or `begin` raises ends it and is raised
        here."""
        pool: Pool = self._threads if self.runs_in_threads(bank) else self._processes
        place = pool.start(role)
        call = _Call(place, progress or Progress(), begin)
        try:
            tag, value = call.follow()
        except BaseException:
            call.end(pool)
            raise
        pool.release(place)
        if tag == FAILED:
            raise value
        return value


class _Call:
    """One operation, as whoever waits for it sees it."""

    def __init__(self, place: Place, progress: Progress, begin: Callable[[], None] | None) -> None:
        self._place = place
        self._progress = progress
        self._begin = begin
        self._begun = False

    def follow(self) -> tuple[str, Any]:
        while True:
            if self._place.channel.poll(_POLL_S):
                tag, value = self._receive()
                if tag in (DONE, FAILED):
                    return tag, value
                if tag == COUNTS:
                    self._progress.report(value)
                elif tag == READY:
                    self._let_go()
            self._progress.check()

    def _receive(self) -> tuple[str, Any]:
        tag, value = receive(self._place)
        self._begun = self._begun or tag == BEGUN
        return tag, value

    def _let_go(self) -> None:
        self._progress.check()
        if self._begin is not None:
            self._begin()
        send(self._place, GO)

    def end(self, pool: Pool) -> None:
        """Have the role stop and clean up after itself; one that does not is killed, and one whose process
        is still starting up, which can take longer than anyone has, at once: it has nothing to clean up."""
        try:
            if self._has_begun() and self._stops():
                pool.release(self._place)
                return
        except WorkerLost:
            pass
        pool.discard(self._place)

    def _has_begun(self) -> bool:
        while not self._begun and self._place.channel.poll(0):
            self._receive()
        return self._begun

    def _stops(self) -> bool:
        deadline = time.monotonic() + CANCEL_GRACE_S
        send(self._place, CANCEL)
        while self._place.channel.poll(max(0.0, deadline - time.monotonic())):
            if self._receive()[0] in (DONE, FAILED):
                return True
        return False


class VaultSession:
    """An open vault: the contract of `plugin.base.VaultSession` and what the service itself needs."""

    def __init__(self, engine: VaultEngine, bank: BankPlugin, key: MasterKey) -> None:
        self._engine = engine
        self._bank = bank
        self._key = key

    def save_tree(
        self,
        path: str,
        *,
        tags: Sequence[str],
        parent: str | None = None,
        excludes: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> SaveReport:
        role = SaveTree(
            bank=self._bank,
            key=self._key,
            options=self._engine.options,
            path=path,
            tags=tuple(tags),
            parent=parent,
            excludes=tuple(excludes),
            own_process=not self._engine.runs_in_threads(self._bank),
        )
        report: SaveReport = self._run(role, progress)
        return report

    def save_stream(
        self,
        source: BinaryIO,
        name: str,
        *,
        tags: Sequence[str],
        progress: Progress | None = None,
        confirm: Callable[[], None] | None = None,
    ) -> SaveReport:
        name, options = plain_name(name), self._engine.options
        with readable(source) as stream:
            role = SaveStream(self._bank, self._key, options, stream.path, name, tuple(tags))

            def begin() -> None:
                stream.check()
                if confirm is not None:
                    confirm()

            report: SaveReport = self._run(role, progress, begin)
            return report

    def restore_tree(
        self,
        snapshot_id: str,
        tree_id: str,
        source: str,
        target: str,
        options: RestoreOptions,
        progress: Progress | None = None,
        begin: Callable[[], None] | None = None,
    ) -> RestoreReport:
        engine = self._engine.options
        role = RestoreTree(self._bank, self._key, engine, snapshot_id, tree_id, source, target, options)
        report: RestoreReport = self._run(role, progress, begin)
        return report

    def preview_tree(
        self,
        snapshot_id: str,
        tree_id: str,
        source: str,
        target: str,
        options: RestoreOptions,
        progress: Progress | None = None,
    ) -> RestorePreview:
        engine = self._engine.options
        role = PreviewTree(self._bank, self._key, engine, snapshot_id, tree_id, source, target, options)
        report: RestorePreview = self._run(role, progress)
        return report

    def restore_stream(
        self,
        snapshot_id: str,
        tree_id: str,
        name: str,
        write: Callable[[bytes], object],
        progress: Progress | None = None,
    ) -> int:
        repository = Repository.with_key(self._bank, self._key)
        with reading(repository, self._engine.options, progress or Progress()) as look:
            snapshot = repository.load_snapshot_of(snapshot_id, tree_id)
            return look.cat(snapshot, b"/" + plain_name(name).encode(), write)

    def check(
        self,
        snapshot_ids: Sequence[str] | None,
        *,
        read_data: bool,
        share: PackShare | None = None,
        progress: Progress | None = None,
    ) -> CheckReport:
        """:param share: of the packs, which are read; structure is checked of all."""
        wanted = None if snapshot_ids is None else tuple(snapshot_ids)
        role = CheckVault(self._bank, self._key, self._engine.options, wanted, read_data, share)
        report: CheckReport = self._run(role, progress)
        return report

    def copy(
        self,
        target: VaultSession,
        snapshot_ids: Sequence[str] | None = None,
        progress: Progress | None = None,
        *,
        tags: Mapping[str, Sequence[str]] | None = None,
    ) -> CopyReport:
        """Have the named snapshots (None: all) in another vault as well. What is there is not moved again.

        :param tags: of the copies, by id of the snapshot, in place of its own. With them, `target` may be
            this vault too.
        """
        role = CopyVault(
            bank=self._bank,
            key=self._key,
            target_bank=target._bank,
            target_key=target._key,
            options=self._engine.options,
            snapshot_ids=None if snapshot_ids is None else tuple(snapshot_ids),
            tags=tags,
        )
        in_threads = self._engine.runs_in_threads(target._bank)
        place = target._bank if in_threads else self._bank
        report: CopyReport = self._engine.run(place, role, progress)
        return report

    def repair_index(self, *, read_all: bool = False, progress: Progress | None = None) -> RepairReport:
        """Make the index anew from the packs. :param read_all: of all, not only where files tell nothing or
        something wrong. :raises VaultLocked: others do not leave the vault in time."""
        role = RepairIndex(self._bank, self._key, self._engine.options, read_all)
        report: RepairReport = self._run(role, progress)
        return report

    def stats(self, progress: Progress | None = None) -> VaultStats:
        """What the vault takes, and each checkpoint in it."""
        role = CountVault(self._bank, self._key, self._engine.options)
        report: VaultStats = self._run(role, progress)
        return report

    def forget(self, snapshot_ids: Sequence[str]) -> None:
        """Remove snapshots; safe to repeat. What only they needed stays until a prune."""
        forget(Repository.with_key(self._bank, self._key), snapshot_ids)

    def prune(
        self,
        progress: Progress | None = None,
        *,
        waits: Waits | None = None,
        patience_s: float | None = None,
    ) -> PruneReport:
        """Give back what no snapshot needs. Others may work in the vault meanwhile.

        :param waits: what a former prune that raised PacksInUse has said.
        :param patience_s: how long to wait for those who work there (default: as for a lock).
        :raises PacksInUse: they do not end in time: all but the deletion is done.
        :raises VaultLocked: another program, or another prune, does not leave the vault in time.
        """
        options = self._engine.options
        patience_s = options.lock_wait_s if patience_s is None else patience_s
        report: PruneReport = self._run(
            PruneVault(self._bank, self._key, options, waits, patience_s), progress
        )
        return report

    def snapshots(self, damaged: Damage | None = None) -> list[Snapshot]:
        """All that read, oldest first. :param damaged: takes the others."""
        return Repository.with_key(self._bank, self._key).snapshots(damaged or Damage(MAKE_AGAIN))

    @property
    def keys(self) -> Keys:
        """Who can open it."""
        return Keys(self._bank, self._key, self._engine.options)

    @contextmanager
    def notes(self, progress: Progress | None = None) -> Iterator[Notes]:
        """Take small files into the vault from this thread. See `Notes`."""
        repository = Repository.with_key(self._bank, self._key)
        with notes(repository, self._engine.options, (progress or Progress()).check) as made:
            yield made

    @contextmanager
    def reading(self, progress: Progress | None = None) -> Iterator[Reading]:
        """Look into the vault from this thread: lists, comparisons, single files."""
        repository = Repository.with_key(self._bank, self._key)
        with reading(repository, self._engine.options, progress or Progress()) as made:
            yield made

    def _run(self, role: Role, progress: Progress | None, begin: Callable[[], None] | None = None) -> Any:
        return self._engine.run(self._bank, role, progress, begin)
