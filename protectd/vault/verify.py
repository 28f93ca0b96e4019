"""Checks, with the packs read by several workers at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import Any

import zstandard

from protectd.common.errors import Cancelled
from protectd.common.progress import Counts, Progress
from protectd.common.reports import CheckReport
from protectd.common.units import MIB
from protectd.plugin.base import BankPlugin
from protectd.vault.check import Needed, check_structure, read_and_check_pack
from protectd.vault.crew import Crew, Plain, work
from protectd.vault.crypto import MasterKey, Sealer
from protectd.vault.findings import Findings, PackFindings
from protectd.vault.index import BlobIndex, Columns, PackRows
from protectd.vault.locks import reading_lock
from protectd.vault.maintenance import ReportedProgress
from protectd.vault.operation import ListeningClock, Reporter
from protectd.vault.options import EngineOptions
from protectd.vault.pack_share import PackShare
from protectd.vault.pool import Channel, Pool
from protectd.vault.repository import Repository
from protectd.vault.shared import CancelFlag, Pages

_BUFFER_BYTES = 32 * MIB
_MAX_ERRORS = 200
"""Of one pack: a reply has to fit into a socket's buffer."""

_PUMP_VISITS = 8
"""Trees between two looks at the workers."""

Pack = tuple[bytes, Plain]
"""The id of one, and its entries as `Columns`."""


@dataclass(frozen=True)
class CheckVault:
    """Role of a planner. :ivar share: of the needed packs, which are read; None for all of them."""

    bank: BankPlugin
    key: MasterKey
    options: EngineOptions
    snapshot_ids: Sequence[str] | None
    read_data: bool
    share: PackShare | None = None

    def run(self, channel: Channel, pool: Pool) -> CheckReport:
        repository = Repository.with_key(self.bank, self.key)
        reporter = Reporter(channel)
        clock, wait_s = ListeningClock(reporter), self.options.lock_wait_s
        with reading_lock(repository, self.options.identity(), clock, wait_s) as confirm:
            report = self._check(repository, reporter, pool)
            if not report.ok:
                confirm()  # without the lock, what is missing may have been pruned
            return report

    def _check(self, repository: Repository, reporter: Reporter, pool: Pool) -> CheckReport:
        if self.read_data:
            return self._read(repository, reporter, pool)
        return check_structure(repository, self.snapshot_ids, ReportedProgress(reporter)).report()

    def _read(self, repository: Repository, reporter: Reporter, pool: Pool) -> CheckReport:
        """Packs are read while the trees that need them are still being walked."""
        with ExitStack() as stack:
            cancel = stack.enter_context(closing(CancelFlag.create()))
            worker = CheckWorker(self.bank, self.key, cancel.path)
            crew = stack.enter_context(Crew(pool, [worker] * self.options.worker_count, cancel))
            reading = _Reading(reporter, crew, self.share)
            structure = check_structure(repository, self.snapshot_ids, _Walking(reporter, reading), reading)
            read_bytes = reading.finish()
            return replace(structure.report(read_bytes), read_packs=reading.read_packs)


class _Reading(Needed):
    """Hands needed packs to the workers; what is wrong with them goes to the findings."""

    def __init__(self, reporter: Reporter, crew: Crew, share: PackShare | None = None) -> None:
        self._reporter = reporter
        self._crew = crew
        self._share = share
        self._waiting: deque[int] = deque()
        self._told = 0
        self._read_bytes = 0
        self.read_packs = 0

    def begin(self, index: BlobIndex, findings: Findings) -> None:
        self._ids = index.pack_ids
        self._rows = PackRows(index)
        self._findings = findings

    def need(self, numbers: Sequence[int]) -> None:
        if self._share is not None:
            numbers = [number for number in numbers if self._ids[number] in self._share]
        self._waiting.extend(numbers)
        self._told += len(numbers)

    def pump(self, timeout_s: float) -> None:
        """Give out what there is room for, and take in what has come."""
        while self._waiting and self._crew.has_room:
            number = self._waiting.popleft()
            self._crew.give((self._ids[number], tuple(self._rows.columns(number))), None)
        if self._crew.busy:
            self._collect(timeout_s)

    def finish(self) -> int:
        """Read the rest; how many bytes it was in all."""
        while self._waiting or self._crew.busy:
            self.pump(0.25)
        for _ in self._crew.finish():
            pass
        return self._read_bytes

    def _collect(self, timeout_s: float) -> None:
        for _, found in self._crew.replies(timeout_s):
            self._read_bytes += found.size
            self.read_packs += 1
            self._findings.add(found)
        counts = Counts("read", self._read_bytes, done_files=self.read_packs, total_files=self._told)
        self._reporter.tell(counts)


class _Walking(Progress):
    """The walk's progress: it keeps the workers busy, and what they have read is the picture."""

    def __init__(self, reporter: Reporter, reading: _Reading) -> None:
        self._reporter = reporter
        self._reading = reading
        self._visits = 0

    def check(self) -> None:
        self._visits += 1
        if self._visits % _PUMP_VISITS == 0:
            self._reading.pump(0)
        self._reporter.check_sometimes()


@dataclass(frozen=True)
class CheckWorker:
    """Role of a worker: reads packs fresh from the bank and proves each blob."""

    bank: BankPlugin
    key: MasterKey
    cancel: str

    def run(self, channel: Channel, pool: Pool) -> Any:
        return work(_Checker(self), channel)


class _Checker:
    def __init__(self, role: CheckWorker) -> None:
        self._bank = role.bank
        self._sealer = Sealer(role.key)
        self._decompressor = zstandard.ZstdDecompressor()
        self._cancel = CancelFlag.attach(role.cancel)
        self._buffer = Pages(_BUFFER_BYTES)

    def handle(self, job: Pack) -> PackFindings:
        if self._cancel.is_set():
            raise Cancelled
        pack_id, columns = job
        entries = Columns._make(columns).entries()
        found = read_and_check_pack(
            self._bank, pack_id, entries, self._sealer, self._buffer.view, self._decompressor
        )
        return found._replace(errors=found.errors[:_MAX_ERRORS])

    def finish(self) -> None:
        """Nothing is left."""

    def close(self) -> None:
        self._buffer.close()
        self._cancel.close()
