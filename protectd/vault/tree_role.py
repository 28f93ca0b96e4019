"""What a restore and its preview share: a saved tree, found and readable, and where it is to stand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from protectd.common.reports import RestoreOptions, RestorePreview, RestoreReport
from protectd.plugin.base import BankPlugin
from protectd.vault.chosen import Chosen, blamed_on, choose_paths, saved_directory
from protectd.vault.crypto import MasterKey
from protectd.vault.findings import REBUILD_INDEX, Damage
from protectd.vault.issues import Issues
from protectd.vault.locks import reading_lock
from protectd.vault.operation import ListeningClock, Reporter
from protectd.vault.options import EngineOptions
from protectd.vault.pool import Channel, Pool
from protectd.vault.repository import INDEX, BlobReader, Repository
from protectd.vault.tree import Node

R = TypeVar("R", RestoreReport, RestorePreview)


class SavedTree(NamedTuple):
    """The directory that was saved, and what its role works with.

    :ivar node: None: it is `/`. :ivar damaged: index files, for want of which something may be missing.
    """

    reader: BlobReader
    tree_id: bytes
    node: Node | None
    chosen: Chosen
    damaged: Damage
    reporter: Reporter
    pool: Pool

    def blame(self, issues: Issues) -> None:
        """Where something is amiss, say what may be the reason."""
        for name, error in self.damaged.found.items() if issues.count else ():
            issues.add(f"{INDEX}/{name}".encode(), "damaged", error.facts["reason"])


@dataclass(frozen=True)
class TreeRole(ABC, Generic[R]):
    """Role of a planner."""

    bank: BankPlugin
    key: MasterKey
    engine: EngineOptions
    snapshot_id: str
    tree_id: str
    source: str
    target: str
    options: RestoreOptions

    @abstractmethod
    def bring(self, saved: SavedTree) -> R:
        """Set about the target. The vault's lock is held."""

    def run(self, channel: Channel, pool: Pool) -> R:
        repository = Repository.with_key(self.bank, self.key)
        reporter = Reporter(channel)
        clock, wait_s = ListeningClock(reporter), self.engine.lock_wait_s
        with reading_lock(repository, self.engine.identity(), clock, wait_s) as confirm:
            report = self.bring(self._find(repository, reporter, pool))
            if report.issue_count:
                confirm()  # without the lock, what is missing may have been pruned
            return report

    def _find(self, repository: Repository, reporter: Reporter, pool: Pool) -> SavedTree:
        damaged = Damage(REBUILD_INDEX)
        reader = BlobReader(repository, repository.load_index_to_read(damaged))
        with blamed_on(damaged):
            snapshot = repository.load_snapshot_of(self.snapshot_id, self.tree_id)
            tree_id, node = saved_directory(reader, snapshot, self.source)
            chosen = choose_paths(reader, tree_id, self.source, self.options.paths, self.snapshot_id)
        return SavedTree(reader, tree_id, node, chosen, damaged, reporter, pool)
