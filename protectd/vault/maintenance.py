"""Role of a prune: beside whoever else works in the vault."""

from __future__ import annotations

from dataclasses import dataclass

from protectd.common.progress import Counts, Progress
from protectd.common.reports import PruneReport
from protectd.plugin.base import BankPlugin
from protectd.vault.coordinator import LockCoordinator
from protectd.vault.crypto import MasterKey
from protectd.vault.lock_files import PRUNE
from protectd.vault.locks import shared_lock
from protectd.vault.operation import ListeningClock, Reporter
from protectd.vault.options import EngineOptions
from protectd.vault.pool import Channel, Pool
from protectd.vault.prune import Waits, prune
from protectd.vault.repository import Repository


class ReportedProgress(Progress):
    """Hands a planner's progress on to the owner of the operation."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def report(self, counts: Counts) -> None:
        self._reporter.tell(counts)

    def check(self) -> None:
        self._reporter.check_sometimes()


@dataclass(frozen=True)
class PruneVault:
    """Role: give back what no snapshot needs. Backups, restores and checks go on meanwhile.

    :ivar waits: what the error of an earlier one says.
    :ivar patience_s: how long to wait for others.
    """

    bank: BankPlugin
    key: MasterKey
    options: EngineOptions
    waits: Waits | None
    patience_s: float

    def run(self, channel: Channel, pool: Pool) -> PruneReport:
        """:raises PacksInUse: see `prune`. :raises VaultLocked: by another program, or by another prune."""
        repository = Repository.with_key(self.bank, self.key)
        reporter = Reporter(channel)
        clock, identity, wait_s = ListeningClock(reporter), self.options.identity(), self.options.lock_wait_s
        with shared_lock(repository, identity, clock, wait_s, check=reporter.check, does=PRUNE) as lock:
            return prune(
                repository,
                ReportedProgress(reporter),
                confirm=lock.confirm,
                pack_bytes=self.options.pack_bytes,
                clock=clock,
                coordinator=LockCoordinator(repository, identity, clock, lock.id, self.patience_s),
                waits=self.waits,
                patience_s=self.patience_s,
            )
