"""Making the index anew from the packs. An old file goes only when all it said stands in a new one.

Killed at any instant it leaves an index that names at least what it named before, some packs twice perhaps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from protectd.common.progress import Counts, Progress
from protectd.common.reports import RepairReport
from protectd.plugin.base import BankObjectNotFound, BankPlugin
from protectd.vault.check_packs import stored_packs
from protectd.vault.crypto import MasterKey
from protectd.vault.errors import VaultDamaged
from protectd.vault.findings import BRING_BACK
from protectd.vault.index import MAX_BLOBS, BlobIndex, IndexPart, encode_index
from protectd.vault.locks import exclusive_lock
from protectd.vault.maintenance import ReportedProgress
from protectd.vault.operation import ListeningClock, Reporter
from protectd.vault.options import EngineOptions
from protectd.vault.pack import BlobEntry, pack_key
from protectd.vault.pool import Channel, Pool
from protectd.vault.repair_packs import PackHeaders
from protectd.vault.repair_plan import RepairPlan, make_plan
from protectd.vault.repository import INDEX, Repository


@dataclass(frozen=True)
class RepairIndex:
    """Role: mend the index, alone in the vault. :ivar read_all: believe no index file, read every header."""

    bank: BankPlugin
    key: MasterKey
    options: EngineOptions
    read_all: bool

    def run(self, channel: Channel, pool: Pool) -> RepairReport:
        repository = Repository.with_key(self.bank, self.key)
        reporter = Reporter(channel)
        clock, wait_s = ListeningClock(reporter), self.options.lock_wait_s
        with exclusive_lock(repository, self.options.identity(), clock, wait_s) as lock:
            progress = ReportedProgress(reporter)
            return repair_index(repository, progress, read_all=self.read_all, check_lock=lock.check)


def repair_index(
    repository: Repository,
    progress: Progress | None = None,
    *,
    read_all: bool = False,
    check_lock: Callable[[], None] = lambda: None,
) -> RepairReport:
    """Have an index that names every blob which can be read, and none that is not there.

    Of a pack without a good header, blobs that an old index file names are kept as far as they read; a check
    goes on to report such a pack. The caller holds the exclusive lock.

    :param check_lock: called before anything is removed; raises when the lock was lost.
    :raises BankUnavailable: the bank does not answer; no file was removed.
    """
    progress = progress or Progress()
    files, unreadable = _load_files(repository)
    sizes = stored_packs(repository.bank)
    index = BlobIndex(files.values())
    plan = make_plan(index, files, unreadable, sizes, read_all=read_all)
    _believe_missing(repository, plan)
    repair = _Repair(repository, index, plan, sizes, progress)
    repair.write()
    check_lock()
    for name in sorted(plan.replaced):
        repository.bank.delete(f"{INDEX}/{name}")
    return repair.report(unreadable)


def _load_files(repository: Repository) -> tuple[dict[str, IndexPart], dict[str, str]]:
    """Files that read, and what is wrong with the others."""
    files: dict[str, IndexPart] = {}
    unreadable: dict[str, str] = {}
    for name in repository.names(INDEX):
        try:
            files[name] = repository.load_index_file(name)
        except VaultDamaged as error:
            unreadable[name] = str(error)
        except BankObjectNotFound:
            unreadable[name] = f"{INDEX}/{name} is listed and not there"
    return files, unreadable


def _believe_missing(repository: Repository, plan: RepairPlan) -> None:
    """A listing may be older than what it lists.

    :raises VaultDamaged: the bank lists wrongly: nobody may conclude anything from that.
    """
    for pack_id in plan.missing:
        try:
            repository.bank.size(pack_key(pack_id))
        except BankObjectNotFound:
            continue
        raise VaultDamaged(object=pack_key(pack_id), reason="the bank has it and does not list it; try again")


class _Repair:
    def __init__(
        self,
        repository: Repository,
        index: BlobIndex,
        plan: RepairPlan,
        sizes: dict[bytes, int],
        progress: Progress,
    ) -> None:
        self._repository = repository
        self._index = index
        self._plan = plan
        self._sizes = sizes
        self._progress = progress
        self._former = frozenset(index.pack_ids)
        self._damaged: list[str] = []
        self._added = self._written = 0
        self._waiting: dict[bytes, list[BlobEntry]] = {}
        self._blobs = 0

    # --- new files ---

    def write(self) -> None:
        """Store new index files for all packs that the old ones do not describe well."""
        for pack_id, entries in self._index.each_pack(self._plan.carried):
            self._add(pack_id, entries)
        packs = PackHeaders(self._repository, self._index, self._sizes)
        for done, found in enumerate(packs.read(sorted(self._plan.read), self._progress.check), 1):
            if found.damage:
                self._damaged.append(f"{found.damage}; {BRING_BACK}")
            if found.entries:
                self._added += found.pack_id not in self._former
                self._add(found.pack_id, found.entries)
            self._progress.report(Counts("headers", done_files=done, total_files=len(self._plan.read)))
        self._flush()

    def _add(self, pack_id: bytes, entries: list[BlobEntry]) -> None:
        if self._blobs + len(entries) > MAX_BLOBS:
            self._flush()
        self._waiting[pack_id] = entries
        self._blobs += len(entries)

    def _flush(self) -> None:
        for json in encode_index(self._waiting):
            self._repository.save_unpacked(INDEX, json)
            self._written += 1
        self._waiting, self._blobs = {}, 0

    # --- the end ---

    def report(self, unreadable: dict[str, str]) -> RepairReport:
        return RepairReport(
            packs=len(self._sizes),
            read_packs=len(self._plan.read),
            added_packs=self._added,
            written_files=self._written,
            removed_files=len(self._plan.replaced),
            unreadable_files=tuple(unreadable.values()),
            missing=_sentences(self._plan.missing),
            damaged=tuple(self._damaged),
        )


def _sentences(missing: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(f"{pack_key(pack_id)} is not in the bank; {BRING_BACK}" for pack_id in sorted(missing))
