"""Roles of the short operations on a vault: for now prune."""

from __future__ import annotations

from dataclasses import dataclass

from protectd.common.progress import Counts, Progress
from protectd.common.reports import PruneReport
from protectd.plugin.base import BankPlugin
from protectd.vault.crypto import MasterKey
from protectd.vault.locks import exclusive_lock
from protectd.vault.operation import ListeningClock, Reporter
from protectd.vault.options import EngineOptions
from protectd.vault.pool import Channel, Pool
from protectd.vault.prune import prune
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
    """Role: give back what no snapshot needs, alone in the vault."""

    bank: BankPlugin
    key: MasterKey
    options: EngineOptions

    def run(self, channel: Channel, pool: Pool) -> PruneReport:
        repository = Repository.with_key(self.bank, self.key)
        reporter = Reporter(channel)
        progress, options = ReportedProgress(reporter), self.options
        clock = ListeningClock(reporter)
        with exclusive_lock(repository, options.identity(), clock, options.lock_wait_s) as lock:
            return prune(repository, progress, check_lock=lock.check, pack_bytes=options.pack_bytes)
