"""Is everything there, and is it what was written? Nothing is changed, and no finding stops the search."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from protectd.common.errors import ProtectdError
from protectd.common.progress import Counts, Progress
from protectd.common.reports import CheckReport
from protectd.common.units import human_bytes
from protectd.plugin.base import BankPlugin, BankRefused, BankUnavailable
from protectd.vault.check_packs import check_pack, mixed_packs, read_and_check_pack, stored_packs
from protectd.vault.check_trees import check_trees
from protectd.vault.errors import SnapshotNotFound, VaultDamaged, VaultError
from protectd.vault.findings import BRING_BACK, MAKE_AGAIN, REBUILD_INDEX, TRY_AGAIN, Findings
from protectd.vault.index import BlobIndex, Rows
from protectd.vault.index_files import Marks
from protectd.vault.pack import BlobEntry, pack_key
from protectd.vault.presence import sizes_of
from protectd.vault.repository import INDEX, SNAPSHOTS, Repository
from protectd.vault.snapshot import Snapshot

__all__ = ["Needed", "Structure", "check", "check_pack", "check_structure", "read_and_check_pack"]


@dataclass(slots=True)
class Structure:
    """What the structure check saw; `needed` packs are those that reading the data has to cover."""

    findings: Findings
    index: BlobIndex
    snapshots: int
    blobs: int
    needed: Collection[bytes]

    def report(self, read_bytes: int = 0) -> CheckReport:
        return CheckReport(
            snapshots=self.snapshots,
            packs=len(self.needed),
            blobs=self.blobs,
            read_bytes=read_bytes,
            errors=tuple(self.findings.errors),
            hints=tuple(self.findings.hints),
            unread=tuple(self.findings.unread),
        )

    def packs_to_read(self) -> Iterator[tuple[bytes, list[BlobEntry]]]:
        """Each needed pack with its entries in file order."""
        return self.index.each_pack(set(self.needed))


def check(
    repository: Repository,
    snapshot_ids: Sequence[str] | None = None,
    *,
    read_data: bool = False,
    progress: Progress | None = None,
) -> CheckReport:
    """Check all of a vault, or what the named snapshots need; in this thread.

    :param read_data: read every needed pack from the medium and prove each blob.
    :raises BankUnavailable: not even a listing could be had, and no damage was found before; `BankRefused`
        likewise. :raises VaultDamaged: index files come and go all the time. All else is in the report.
    """
    progress = progress or Progress()
    structure = check_structure(repository, snapshot_ids, progress)
    return structure.report(_read_packs(repository, structure, progress) if read_data else 0)


# --- structure ---


class Needed:
    """Hears of packs that reading the data has to cover, as soon as the walk finds that one is needed."""

    def begin(self, index: BlobIndex, findings: Findings) -> None:
        """Once, before anything is needed."""

    def need(self, numbers: Sequence[int]) -> None:
        """These of `index.pack_ids`; each is told once."""


def check_structure(
    repository: Repository,
    snapshot_ids: Sequence[str] | None = None,
    progress: Progress | None = None,
    reader: Needed | None = None,
) -> Structure:
    """Index files, snapshots, every tree they lead to, and the presence and size of every pack they need."""
    findings = Findings()
    progress = progress or Progress()
    # Snapshots first: a backup that ends meanwhile has stored its index by then.
    snapshots = _load_snapshots(repository, snapshot_ids, findings)
    index, marked = _load_index(repository, findings, whole=snapshot_ids is None)
    teller = _Teller(reader or Needed(), index, marked.leaving, findings)
    if snapshot_ids is None:
        teller.tell(np.flatnonzero(~teller.leaving))
    used = check_trees(repository, index, snapshots, findings, progress, teller.met)
    numbers = _needed_packs(index, used, teller.leaving)
    teller.tell(numbers)
    if snapshot_ids is None:
        numbers = np.union1d(numbers, np.flatnonzero(~teller.leaving))
    needed = {index.pack_ids[number] for number in numbers}
    try:
        stored = stored_packs(repository.bank)
        _check_packs(repository.bank, index, needed, stored, findings)
        if snapshot_ids is None and not findings.blind:  # an unread index may know them
            _hint_at_packs(index, stored, marked, findings)
    except (BankUnavailable, BankRefused) as error:
        if not findings.errors:
            raise
        findings.miss(f"the list of packs could not be read: {error}; {TRY_AGAIN}")
    blobs = int(np.unique(index.columns()[0][used]).size)
    return Structure(findings, index, len(snapshots), blobs, needed)


class _Teller:
    """Tells each needed pack once.

    :ivar leaving: by number, packs that a prune is going to delete. Such a one is needed only where it alone
        has a blob, and so it is not told before all that is needed is known: it may be gone at any time.
    """

    def __init__(
        self, reader: Needed, index: BlobIndex, leaving: Collection[bytes], findings: Findings
    ) -> None:
        self._reader = reader
        self._packs = index.columns()[1]
        self._told = np.zeros(len(index.pack_ids), np.bool_)
        self.leaving = np.array([pack_id in leaving for pack_id in index.pack_ids], np.bool_)
        reader.begin(index, findings)

    def met(self, rows: Rows) -> None:
        """The walk has come to the blobs in these rows."""
        numbers = self._packs[rows]
        self.tell(numbers[~self.leaving[numbers]])

    def tell(self, numbers: npt.NDArray[Any]) -> None:
        fresh = np.unique(numbers[~self._told[numbers]])
        if len(fresh):
            self._told[fresh] = True
            self._reader.need(fresh.tolist())


def _load_index(repository: Repository, findings: Findings, *, whole: bool) -> tuple[BlobIndex, Marks]:
    def trouble(name: str, error: ProtectdError) -> None:
        findings.trouble(f"{INDEX}/{name}", error, REBUILD_INDEX)
        findings.blind = findings.blind or not isinstance(error, VaultDamaged)

    parts = repository.index_files(trouble)
    if whole:
        listed = Counter(pack_id for part in parts.values() for pack_id in part.pack_ids)
        for pack_id in (pack_id for pack_id, times in listed.items() if times > 1):
            findings.hint(f"{pack_key(pack_id)} is in several index files; a prune puts that right")
    return BlobIndex(parts.values()), Marks.of(parts.values())


def _load_snapshots(
    repository: Repository, snapshot_ids: Sequence[str] | None, findings: Findings
) -> list[Snapshot]:
    found = []
    for name in repository.names(SNAPSHOTS) if snapshot_ids is None else snapshot_ids:
        try:
            found.append(repository.load_snapshot(name))
        except SnapshotNotFound as error:
            if snapshot_ids is not None:
                findings.error(f"{error}; {MAKE_AGAIN}")
        except (VaultError, BankUnavailable, BankRefused) as error:
            findings.trouble(f"{SNAPSHOTS}/{name}", error, MAKE_AGAIN)
    return found


def _needed_packs(index: BlobIndex, used: Rows, leaving: npt.NDArray[np.bool_]) -> Rows:
    """Numbers of the packs with any copy of a used blob; of those that leave, only what no other has."""
    groups, packs, _, _ = index.columns()
    wanted = np.isin(groups, groups[used])
    elsewhere = groups[wanted & ~leaving[packs]]
    return np.unique(packs[wanted & (~leaving[packs] | ~np.isin(groups, elsewhere))]).astype(np.intp)


def _check_packs(
    bank: BankPlugin,
    index: BlobIndex,
    needed: Collection[bytes],
    stored: Mapping[bytes, int],
    findings: Findings,
) -> None:
    """Each exists with the computed size. Where a listing says no the bank is asked: it may be behind."""
    wanted = {
        pack_key(pack_id): size
        for pack_id, size in index.pack_sizes().items()
        if pack_id in needed and stored.get(pack_id) != size
    }
    for key, found in sizes_of(bank, wanted).items():
        if found is None:
            findings.error(f"{key} does not exist and an index names it; {BRING_BACK}")
        elif found != wanted[key]:
            findings.error(f"{key} has {found} bytes, not {wanted[key]}; {BRING_BACK}")


def _hint_at_packs(index: BlobIndex, stored: Mapping[bytes, int], marked: Marks, findings: Findings) -> None:
    for pack_id in stored.keys() - set(index.pack_ids) - marked.notes.keys():
        findings.hint(f"{pack_key(pack_id)} is in no index; a prune removes it")
    for number in mixed_packs(index):
        findings.hint(f"{pack_key(index.pack_ids[number])} holds trees and data; a prune separates them")
    if marked.notes:
        size = human_bytes(sum(stored.get(pack_id, 0) for pack_id in marked.notes))
        findings.hint(f"{len(marked.notes)} pack(s), {size}, are marked to be deleted; a prune settles that")


# --- data ---


def _read_packs(repository: Repository, structure: Structure, progress: Progress) -> int:
    sizes = structure.index.pack_sizes()
    total = sum(sizes[pack_id] for pack_id in structure.needed)
    buffer = memoryview(bytearray(max((sizes[pack_id] for pack_id in structure.needed), default=0) + 1))
    read_bytes = 0
    for pack_id, entries in structure.packs_to_read():
        progress.check()
        found = read_and_check_pack(repository.bank, pack_id, entries, repository.sealer, buffer)
        read_bytes += found.size
        structure.findings.add(found)
        progress.report(Counts("packs", done_bytes=read_bytes, total_bytes=total))
    return read_bytes
