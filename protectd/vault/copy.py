"""The planner of a copy to another vault: another bank, another key. What lies there already is not moved.

Order of durability: packs, then the index files that name them, then the snapshots. A copy that is cut off
leaves blobs that the next one finds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from protectd.common.errors import Cancelled
from protectd.common.reports import CopyReport
from protectd.plugin.base import BankPlugin
from protectd.vault.check_packs import stored_packs
from protectd.vault.copy_blobs import BlobMover
from protectd.vault.copy_plan import copied_json, find_copy, missing_rows, original_of, tagged
from protectd.vault.copy_worker import CopyWorker
from protectd.vault.crypto import MasterKey
from protectd.vault.errors import SameVault, SnapshotNotFound, VaultDamaged
from protectd.vault.findings import BRING_BACK, REBUILD_INDEX, Damage
from protectd.vault.index import BlobIndex
from protectd.vault.locks import HeldLock, reading_lock, shared_lock
from protectd.vault.maintenance import ReportedProgress
from protectd.vault.operation import ListeningClock, Reporter
from protectd.vault.options import EngineOptions
from protectd.vault.pool import Channel, Pool
from protectd.vault.repository import SNAPSHOTS, BlobReader, Repository
from protectd.vault.save_index import IndexWriter
from protectd.vault.snapshot import Snapshot
from protectd.vault.stats import TreeTeller
from protectd.vault.tree_graph import Mask, TreeGraph


@dataclass(frozen=True)
class CopyVault:
    """Role of a planner.

    :ivar snapshot_ids: None for all there are.
    :ivar tags: of the copies, by id of the snapshot, in place of its own. Copies that have their own may lie
        in the vault that they are copied from: they take no more than their snapshots there.
    """

    bank: BankPlugin
    key: MasterKey
    target_bank: BankPlugin
    target_key: MasterKey
    options: EngineOptions
    snapshot_ids: Sequence[str] | None
    tags: Mapping[str, Sequence[str]] | None = None

    def run(self, channel: Channel, pool: Pool) -> CopyReport:
        source = Repository.with_key(self.bank, self.key)
        target = Repository.with_key(self.target_bank, self.target_key)
        if source.config.id == target.config.id and self.tags is None:
            raise SameVault(vault=source.config.id)
        reporter = Reporter(channel)
        clock, identity, wait_s = ListeningClock(reporter), self.options.identity(), self.options.lock_wait_s
        with (
            reading_lock(source, identity, clock, wait_s) as confirm,
            shared_lock(target, identity, clock, wait_s) as lock,
            ExitStack() as stack,
        ):
            report = _Copy(self, source, target, reporter, pool, stack).run(lock)
            if not report.ok:
                confirm()  # without the lock, what is missing may have been pruned
            return report


class _Copy:
    def __init__(
        self,
        role: CopyVault,
        source: Repository,
        target: Repository,
        reporter: Reporter,
        pool: Pool,
        stack: ExitStack,
    ) -> None:
        self._role = role
        self._source = source
        self._target = target
        self._reporter = reporter
        self._pool = pool
        self._stack = stack
        self._errors: list[str] = []
        self._hints: list[str] = []
        self._blobs = self._bytes = 0

    def run(self, lock: HeldLock) -> CopyReport:
        there = self._snapshots_there()
        wanted = self._wanted()
        present = {each.id: copy.id for each in wanted if (copy := find_copy(self._tagged(each), there))}
        missing = [each for each in wanted if each.id not in present]
        copied = self._copy(missing, lock) if missing else {}
        return CopyReport(
            copied=tuple(copied.items()),
            present=tuple(present.items()),
            blobs=self._blobs,
            copied_bytes=self._bytes,
            errors=tuple(self._errors),
            hints=tuple(self._hints),
        )

    def _copy(self, snapshots: Sequence[Snapshot], lock: HeldLock) -> dict[str, str]:
        """Ids of the copies by those of the snapshots, for all that are whole."""
        damage = Damage(REBUILD_INDEX)
        index = self._source.load_index_to_read(damage)
        self._hints.extend(f"in the source, {error}" for error in damage.found.values())
        tell = TreeTeller(ReportedProgress(self._reporter))
        graph = TreeGraph(BlobReader(self._source, index), tell)
        roots = {each.id: graph.add(each.tree_id, each.id) for each in snapshots}
        sound = [each for each in snapshots if not self._faulty(graph, roots[each.id], each)]
        needed = graph.reach(roots[each.id] for each in sound).rows
        bad = self._move(index, needed, lock)
        whole = [each for each in sound if not self._lacks(graph, roots[each.id], each, bad)]
        return {each.id: self._save(each, lock) for each in whole}

    def _move(self, index: BlobIndex, needed: Mask, lock: HeldLock) -> dict[int, str]:
        """Have what is needed in packs and in the index of the target; what of it does not read, and why."""
        rows = missing_rows(index, needed, self._target.load_index(), stored_packs(self._target.bank))
        writer = IndexWriter(self._target.bank, lock)
        mover = BlobMover(index, writer, self._reporter, self._stack)
        try:
            mover.move(rows, self._worker(), self._role.options.worker_count, self._pool)
        except Cancelled:
            writer.flush()  # the next copy need not move it again
            raise
        writer.flush()
        self._blobs, self._bytes = mover.blobs, mover.bytes
        return mover.bad

    def _worker(self) -> CopyWorker:
        role = self._role
        return CopyWorker(
            source_bank=role.bank,
            source_key=role.key,
            target_bank=role.target_bank,
            target_key=role.target_key,
            pack_bytes=role.options.pack_bytes,
            level=role.options.level,
        )

    # --- snapshots ---

    def _snapshots_there(self) -> list[Snapshot]:
        """Those of the target. One that is damaged there is copied again."""
        found = []
        for name in self._target.names(SNAPSHOTS):
            try:
                found.append(self._target.load_snapshot(name))
            except SnapshotNotFound:
                continue
            except VaultDamaged as error:
                self._hints.append(f"in the target, {error}; forget it there")
        return found

    def _wanted(self) -> list[Snapshot]:
        """:raises SnapshotNotFound: one that was asked for is not there."""
        if self._role.snapshot_ids is not None:
            found = [self._source.load_snapshot(each) for each in dict.fromkeys(self._role.snapshot_ids)]
        else:
            found = list(self._all())
        return sorted(found, key=lambda snapshot: (snapshot.time, snapshot.id))

    def _all(self) -> Iterator[Snapshot]:
        for name in self._source.names(SNAPSHOTS):
            try:
                yield self._source.load_snapshot(name)
            except SnapshotNotFound:
                continue
            except VaultDamaged as error:
                self._errors.append(f"{error}; {BRING_BACK}")

    def _faulty(self, graph: TreeGraph, root: int, snapshot: Snapshot) -> bool:
        """Whether a snapshot cannot be copied whole; says so."""
        faults = graph.reach([root]).faults
        if faults:
            more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
            self._errors.append(f"snapshot {snapshot.id} was not copied: {faults[0]}{more}; {BRING_BACK}")
        return bool(faults)

    def _lacks(self, graph: TreeGraph, root: int, snapshot: Snapshot, bad: dict[int, str]) -> bool:
        """Whether a blob of it could not be read; says so."""
        if not bad:
            return False
        reached = graph.reach([root]).rows
        lost = [reason for row, reason in bad.items() if reached[row]]
        if lost:
            what = f"{len(lost)} blob(s) do not read, first {lost[0]}"
            self._errors.append(f"snapshot {snapshot.id} was not copied: {what}; {BRING_BACK}")
        return bool(lost)

    def _save(self, snapshot: Snapshot, lock: HeldLock) -> str:
        raw = self._source.load_unpacked(SNAPSHOTS, snapshot.id)
        return lock.store(SNAPSHOTS, copied_json(raw, original_of(snapshot), self._tags(snapshot)))

    def _tagged(self, snapshot: Snapshot) -> Snapshot:
        """As its copy is to be found."""
        tags = self._tags(snapshot)
        return snapshot if tags is None else tagged(snapshot, tags)

    def _tags(self, snapshot: Snapshot) -> Sequence[str] | None:
        tags = self._role.tags
        return None if tags is None else tags[snapshot.id]
