"""Checks, with the packs read by several workers at once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import zstandard

from protectd.common.errors import Cancelled
from protectd.common.progress import Counts
from protectd.common.reports import CheckReport
from protectd.common.units import MIB
from protectd.plugin.base import BankPlugin
from protectd.vault.check import Structure, check_structure, read_and_check_pack
from protectd.vault.crew import Crew, work
from protectd.vault.crypto import MasterKey, Sealer
from protectd.vault.locks import shared_lock
from protectd.vault.maintenance import ReportedProgress
from protectd.vault.operation import ListeningClock, Reporter
from protectd.vault.options import EngineOptions
from protectd.vault.pack import BlobEntry
from protectd.vault.pool import Channel, Pool
from protectd.vault.repository import Repository
from protectd.vault.shared import CancelFlag, Pages

_BUFFER_BYTES = 32 * MIB
_MAX_ERRORS = 200
"""Of one pack: a reply has to fit into a socket's buffer."""

Pack = tuple[bytes, list[BlobEntry]]


@dataclass(frozen=True)
class CheckVault:
    """Role of a planner."""

    bank: BankPlugin
    key: MasterKey
    options: EngineOptions
    snapshot_ids: Sequence[str] | None
    read_data: bool

    def run(self, channel: Channel, pool: Pool) -> CheckReport:
        repository = Repository.with_key(self.bank, self.key)
        reporter = Reporter(channel)
        clock, wait_s = ListeningClock(reporter), self.options.lock_wait_s
        with shared_lock(repository, self.options.identity(), clock, wait_s):
            structure = check_structure(repository, self.snapshot_ids, ReportedProgress(reporter))
            return structure.report(self._read(structure, reporter, pool) if self.read_data else 0)

    def _read(self, structure: Structure, reporter: Reporter, pool: Pool) -> int:
        with ExitStack() as stack:
            cancel = stack.enter_context(closing(CancelFlag.create()))
            worker = CheckWorker(self.bank, self.key, cancel.path)
            crew = stack.enter_context(Crew(pool, [worker] * self.options.worker_count, cancel))
            return _Reading(structure, reporter, crew).run()


class _Reading:
    def __init__(self, structure: Structure, reporter: Reporter, crew: Crew) -> None:
        self._structure = structure
        self._reporter = reporter
        self._crew = crew
        self._read_bytes = 0
        self._read_packs = 0

    def run(self) -> int:
        """Bytes read; what is wrong goes to the structure's findings."""
        for pack in self._structure.packs_to_read():
            while not self._crew.has_room:
                self._collect()
            self._crew.give(pack, None)
        while self._crew.busy:
            self._collect()
        for _ in self._crew.finish():
            pass
        return self._read_bytes

    def _collect(self) -> None:
        for _, (errors, size) in self._crew.replies(0.25):
            self._read_bytes += size
            self._read_packs += 1
            for error in errors:
                self._structure.findings.error(error)
        total = len(self._structure.needed)
        counts = Counts("read", self._read_bytes, done_files=self._read_packs, total_files=total)
        self._reporter.tell(counts)


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

    def handle(self, job: Pack) -> tuple[list[str], int]:
        if self._cancel.is_set():
            raise Cancelled
        pack_id, entries = job
        errors, size = read_and_check_pack(
            self._bank, pack_id, entries, self._sealer, self._buffer.view, self._decompressor
        )
        return errors[:_MAX_ERRORS], size

    def finish(self) -> None:
        """Nothing is left."""

    def close(self) -> None:
        self._buffer.close()
        self._cancel.close()
