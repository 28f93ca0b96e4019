"""The planner of a backup: walks the tree, hands files to workers, builds trees, writes index and snapshot.

Order of durability: packs, then the index files that name them, then the snapshot. A crash leaves packs that
no snapshot needs, never a snapshot that lacks one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from protectd.common.clock import SystemClock
from protectd.common.progress import Counts
from protectd.common.reports import SaveReport
from protectd.plugin.base import BankPlugin, ResourceUnavailable
from protectd.vault.chunker import seed_of
from protectd.vault.crew import Crew
from protectd.vault.crypto import MasterKey
from protectd.vault.issues import Issues
from protectd.vault.locks import HeldLock
from protectd.vault.opening import shown
from protectd.vault.operation import Reporter
from protectd.vault.options import EngineOptions
from protectd.vault.pack import TREE
from protectd.vault.pending_lock import PendingLock
from protectd.vault.pool import Channel, Pool
from protectd.vault.previous import PreviousTrees
from protectd.vault.probe_worker import FolderJob, ProbeWorker
from protectd.vault.repository import INDEX, BlobReader, Repository
from protectd.vault.save_files import Files
from protectd.vault.save_jobs import Batch, Jobs, Ticket
from protectd.vault.save_probe import MAX_INDEX_BLOBS, Probe, Unchanged, unchanged_tree
from protectd.vault.save_root import choose_parent, exclude_paths, normal_path, open_root
from protectd.vault.save_trees import Trees
from protectd.vault.save_worker import SaveReply, SaveWorker
from protectd.vault.scan import FileEntry, Folder, Scanner
from protectd.vault.seen_files import FileResult
from protectd.vault.snapshot import Snapshot
from protectd.vault.storing import Storing

_PUMP_EVERY = 512
"""Entries between two looks at the workers, when no job has become ready."""
_MAX_WAITING_FILES = 20_000
"""The scan pauses here: about 1 KiB is held for each."""


@dataclass(frozen=True)
class SaveTree:
    """Role of a planner. :ivar own_process: it may change the working directory."""

    bank: BankPlugin
    key: MasterKey
    options: EngineOptions
    path: str
    tags: Sequence[str]
    parent: str | None
    excludes: Sequence[str]
    own_process: bool

    def run(self, channel: Channel, pool: Pool) -> SaveReport:
        path = normal_path(self.path)
        repository = Repository.with_key(self.bank, self.key)
        reporter = Reporter(channel)
        with PendingLock(repository, self.options.identity(), self.options.lock_wait_s) as pending:
            lock: HeldLock | None = None
            while True:
                seen, had_lock = repository.names(INDEX), lock is not None
                with ExitStack() as stack:
                    save = _Save(self, path, repository, reporter, pool, stack)
                    save.look()
                    lock = pending.wait(reporter.check)
                    # Without the lock a prune may have ended meanwhile: then all is done again, with it.
                    if had_lock or repository.names(INDEX) == seen:
                        return save.run(lock)


class _Save:
    def __init__(
        self,
        role: SaveTree,
        path: bytes,
        repository: Repository,
        reporter: Reporter,
        pool: Pool,
        stack: ExitStack,
    ) -> None:
        if role.own_process:
            stack.callback(os.chdir, "/")  # the scan goes through the tree and shall not keep it busy
        index = repository.load_index()
        self._role = role
        self._path = path
        self._repository = repository
        self._reporter = reporter
        self._pool = pool
        self._stack = stack
        self._started = SystemClock().now()
        self._issues = Issues()
        self._jobs = Jobs()
        self._storing = Storing(repository, role.options, index, stack)
        self._index = index
        self._unchanged: dict[bytes, Unchanged] = {}
        self._tree_packer = self._storing.packer(TREE)
        self._trees = Trees(index, self._tree_packer)
        self._parent = choose_parent(repository, shown(path), role.options.identity().hostname, role.parent)
        self._previous = PreviousTrees(BlobReader(repository, index))
        self._scanner = Scanner(
            exclude_paths(role.excludes),
            self._previous,
            self._storing.stored.has_all,
            self._issues,
            own_directory=role.own_process,
        )
        self._files = Files(self._scanner, self._issues, self._read, self._trees.settle)
        self._read_bytes = 0
        self._read_files = 0
        self._scanned = False
        self._since_pump = 0

    def look(self) -> None:
        """Find the directory, and with all workers what is unchanged in it. Nothing is written."""
        root_tree = self._parent.tree_id if self._parent else None
        self._top = open_root(self._path, root_tree, self._previous)
        if self._top.previous_tree is not None and len(self._index) <= MAX_INDEX_BLOBS:
            self._probe(FolderJob(self._top.path, *self._top.identity, self._top.previous_tree))

    def _probe(self, top: FolderJob) -> None:
        role = self._role
        worker = ProbeWorker(
            bank=role.bank,
            key=role.key,
            config=self._repository.config,
            index=self._index,
            excludes=exclude_paths(role.excludes),
            stored_blobs=self._storing.stored.path,
            cancel=self._storing.cancel.path,
            own_process=role.own_process,
        )
        with Crew(self._pool, [worker] * role.options.worker_count, self._storing.cancel) as crew:
            probe = Probe(crew, lambda done: self._reporter.tell(Counts("scan", done_files=done)))
            probe.run(top)
        self._unchanged = probe.unchanged

    # --- the run ---

    def run(self, lock: HeldLock) -> SaveReport:
        seed = seed_of(self._repository.config.polynomial)
        workers = [SaveWorker(role, seed) for role in self._storing.roles()]
        self._crew = self._storing.hire(self._pool, workers, lock)
        self._walk()
        self._scanned = True
        self._jobs.close_batch()
        while self._jobs or self._crew.busy or self._jobs.close_batch():
            self._pump(0.25)
        return self._finish()

    def _walk(self) -> None:
        pending = [self._top]
        while pending:
            folder = pending.pop()
            tally = unchanged_tree(self._unchanged, folder.path, folder.identity)
            if tally is not None:
                self._scanner.tally.add(tally)
                self._trees.keep(folder)
                continue
            inner: list[Folder] = []
            for portion in self._scanner.scan(folder):
                for found in portion:
                    if isinstance(found, Folder):
                        inner.append(found)
                    else:
                        self._files.found(found)
                self._pump_sometimes(len(portion))
            pending.extend(reversed(inner))
            self._pump_sometimes(1)
            self._trees.settle(folder)

    def _pump_sometimes(self, entries: int) -> None:
        self._since_pump += entries
        if self._since_pump >= _PUMP_EVERY:
            self._pump(0)
        while self._jobs.waiting_files > _MAX_WAITING_FILES and self._crew.busy:
            self._pump(0.25)

    def _pump(self, timeout_s: float) -> None:
        """Give out jobs, take in replies, tell how far it is."""
        self._since_pump = 0
        self._feed()
        if self._crew.busy:
            for ticket, reply in self._crew.replies(timeout_s):
                self._take(ticket, reply)
            self._feed()
        self._reporter.tell(self._counts())

    def _feed(self) -> None:
        while self._jobs and self._crew.has_room:
            job, ticket = self._jobs.take()
            self._crew.give(job._replace(new_tables=self._storing.new_tables), ticket)

    def _read(self, entry: FileEntry) -> None:
        if self._jobs.add(entry) and self._crew.has_room:
            self._pump(0)

    def _take(self, ticket: Ticket, reply: SaveReply) -> None:
        self._storing.took(reply.packs, reply.new_blobs)
        others = {number: FileResult._make(each) for number, each in reply.others}
        if isinstance(ticket, Batch):
            self._read_bytes += self._files.read(ticket.files, reply.ids, others)
            self._read_files += len(ticket.files)
            return
        large, number = ticket
        self._read_bytes += others[0].read_bytes
        whole = large.put(number, others[0])
        if whole is not None:
            self._read_files += 1
            self._files.result(large.entry, whole)

    def _counts(self) -> Counts:
        tally = self._scanner.tally
        return Counts(
            phase="save",
            done_bytes=tally.unmodified_bytes + self._read_bytes,
            total_bytes=tally.logical_bytes if self._scanned else None,
            done_files=tally.unmodified + self._read_files,
            total_files=tally.files if self._scanned else None,
        )

    # --- the end ---

    def _finish(self) -> SaveReport:
        if self._trees.root_id is None or self._top.lost:
            raise ResourceUnavailable(resource=self._role.path, reason="the directory could not be read")
        plain, sealed = self._storing.close_packs(self._crew, self._tree_packer)
        snapshot_id = self._storing.publish(self._snapshot(self._trees.root_id))
        tally = self._scanner.tally
        return SaveReport(
            snapshot_id=snapshot_id,
            tree_id=self._trees.root_id.hex(),
            files=tally.files,
            directories=tally.directories + 1,
            others=tally.others,
            files_unmodified=tally.unmodified,
            logical_bytes=tally.logical_bytes,
            read_bytes=self._read_bytes,
            added_bytes=plain,
            stored_bytes=sealed,
            issues=tuple(self._issues.kept),
            issue_count=self._issues.count,
        )

    def _snapshot(self, tree_id: bytes) -> Snapshot:
        identity = self._role.options.identity()
        return Snapshot(
            time=self._started,
            tree=tree_id.hex(),
            paths=(shown(self._path),),
            hostname=identity.hostname,
            username=identity.username,
            tags=tuple(self._role.tags),
            parent=self._parent.id if self._parent else None,
        )
