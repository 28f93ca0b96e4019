"""Is everything there, and is it what was written? Nothing is changed, and no finding stops the search."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import zstandard

from protectd.common.errors import ProtectdError
from protectd.common.progress import Counts, Progress
from protectd.common.reports import CheckReport
from protectd.plugin.base import BankObjectNotFound, BankPlugin, BankRefused, BankUnavailable
from protectd.vault.config import is_id
from protectd.vault.crypto import Buffer, Sealer
from protectd.vault.errors import FormatError, SnapshotNotFound, UnitDamaged, VaultDamaged, VaultError
from protectd.vault.index import BlobIndex, IndexPart, Rows
from protectd.vault.pack import DATA as DATA_BLOB
from protectd.vault.pack import BlobEntry, open_blob, open_header, pack_bytes, pack_key
from protectd.vault.repository import DATA, INDEX, SNAPSHOTS, BlobReader, Repository
from protectd.vault.snapshot import Snapshot
from protectd.vault.tree import Node
from protectd.vault.walk import Visit, walk

MAX_FINDINGS = 10_000
_BRING_BACK = "bring the object back from a copy of the bank, or delete the checkpoints that need it"
_TRY_AGAIN = "check again when the bank answers"
_TREE_AGAIN = "delete the checkpoint and make a new one"
_INDEX_ADVICE = "restic rebuild-index makes the index anew from the packs"

BankErrors = (BankUnavailable, BankRefused, BankObjectNotFound)


@dataclass(slots=True)
class Findings:
    """Errors and hints, the first 10,000 of each."""

    errors: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    def error(self, text: str) -> None:
        if len(self.errors) < MAX_FINDINGS:
            self.errors.append(text)

    def hint(self, text: str) -> None:
        if len(self.hints) < MAX_FINDINGS:
            self.hints.append(text)


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
    :raises BankUnavailable: not even a listing could be had. All else is an error in the report.
    """
    progress = progress or Progress()
    structure = check_structure(repository, snapshot_ids, progress)
    return structure.report(_read_packs(repository, structure, progress) if read_data else 0)


# --- structure ---


def check_structure(
    repository: Repository, snapshot_ids: Sequence[str] | None = None, progress: Progress | None = None
) -> Structure:
    """Index files, snapshots, every tree they lead to, and the presence and size of every pack they need."""
    findings = Findings()
    progress = progress or Progress()
    index = _load_index(repository, findings, whole=snapshot_ids is None)
    snapshots = _load_snapshots(repository, snapshot_ids, findings)
    used = _walk_snapshots(repository, index, snapshots, findings, progress)
    needed = _needed_packs(index, used)
    _check_packs(repository, index, needed if snapshot_ids is not None else None, findings)
    covered = needed if snapshot_ids is not None else set(index.pack_ids)
    return Structure(findings, index, len(snapshots), int(np.unique(index.columns()[0][used]).size), covered)


def _load_index(repository: Repository, findings: Findings, *, whole: bool) -> BlobIndex:
    parts: dict[str, IndexPart] = {}
    for name in repository.names(INDEX):
        try:
            parts[name] = repository.load_index_file(name)
        except BankObjectNotFound:
            continue  # another program has just replaced it
        except (VaultError, BankUnavailable, BankRefused) as error:
            findings.error(f"{_named(error, f'{INDEX}/{name}')}; {_INDEX_ADVICE}")
    if whole:
        listed = Counter(pack_id for part in parts.values() for pack_id in part.pack_ids)
        for pack_id in (pack_id for pack_id, times in listed.items() if times > 1):
            findings.hint(f"{pack_key(pack_id)} is in several index files; a prune puts that right")
    return BlobIndex(parts.values())


def _load_snapshots(
    repository: Repository, snapshot_ids: Sequence[str] | None, findings: Findings
) -> list[Snapshot]:
    found = []
    for name in repository.names(SNAPSHOTS) if snapshot_ids is None else snapshot_ids:
        try:
            found.append(repository.load_snapshot(name))
        except SnapshotNotFound as error:
            if snapshot_ids is not None:
                findings.error(f"{error}; {_TREE_AGAIN}")
        except (VaultError, BankUnavailable, BankRefused) as error:
            findings.error(f"{_named(error, f'{SNAPSHOTS}/{name}')}; {_TREE_AGAIN}")
    return found


def _walk_snapshots(
    repository: Repository,
    index: BlobIndex,
    snapshots: Sequence[Snapshot],
    findings: Findings,
    progress: Progress,
) -> Rows:
    """Visit every tree; rows of the blobs that were met and are there."""
    used: list[Rows] = []
    visits = walk(BlobReader(repository, index), [(each.id, each.tree_id) for each in snapshots])
    for done, visit in enumerate(visits, 1):
        progress.check()
        if done % 256 == 0:
            progress.report(Counts("trees", done_files=done))
        used.append(index.rows_of("tree", [visit.tree_id]))
        if visit.error is not None:
            findings.error(f"{visit}: {visit.error}; {_TREE_AGAIN}")
        else:
            used.append(_check_tree(index, visit, findings))
    rows = np.concatenate(used) if used else np.empty(0, np.intp)
    return np.unique(rows[rows >= 0])


def _check_tree(index: BlobIndex, visit: Visit, findings: Findings) -> Rows:
    """Names in order, blobs known, sizes right; the rows of all blobs of the tree's files."""
    for one, other in pairwise(visit.nodes):
        if one.name >= other.name:
            findings.error(f"{visit}: {other.name!r} is out of order or there twice; {_TREE_AGAIN}")
    files = [(node, node.content) for node in visit.nodes if node.content]
    rows = index.rows_of(DATA_BLOB, [blob_id for _, content in files for blob_id in content])
    sizes = np.where(rows >= 0, index.sizes_at(rows), 0) if len(index) else np.zeros(len(rows), np.int64)
    start = 0
    for node, content in files:
        end = start + len(content)
        _check_file(visit, node, rows[start:end], sizes[start:end], findings)
        start = end
    _check_empty_files(visit, findings)
    return rows


def _check_file(visit: Visit, node: Node, rows: Rows, sizes: np.ndarray, findings: Findings) -> None:
    missing = int((rows < 0).sum())
    if missing:
        first = (node.content or [])[int(np.argmax(rows < 0))].hex()
        findings.error(
            f"{visit}: the file {node.name!r} needs {missing} data blob(s) that no index knows,"
            f" first {first}; {_INDEX_ADVICE} if the packs are there, else {_TREE_AGAIN}"
        )
    elif int(sizes.sum()) != node.size:
        findings.error(
            f"{visit}: the file {node.name!r} has {int(sizes.sum())} bytes stored and claims {node.size};"
            f" {_TREE_AGAIN}"
        )


def _check_empty_files(visit: Visit, findings: Findings) -> None:
    for node in visit.nodes:
        if node.content == [] and node.size:
            findings.error(
                f"{visit}: the file {node.name!r} has no content and claims {node.size} bytes; {_TREE_AGAIN}"
            )


def _needed_packs(index: BlobIndex, used: Rows) -> set[bytes]:
    """Packs with any copy of a used blob."""
    groups, packs, _, _ = index.columns()
    wanted = np.isin(groups, groups[used])
    return {index.pack_ids[number] for number in np.unique(packs[wanted])}


def _check_packs(
    repository: Repository, index: BlobIndex, needed: Collection[bytes] | None, findings: Findings
) -> None:
    """Each pack exists with the computed size. `needed` None: all, with hints about those nobody indexed."""
    stored = stored_packs(repository.bank)
    for pack_id, size in index.pack_sizes().items():
        if needed is not None and pack_id not in needed:
            continue
        if pack_id not in stored:
            findings.error(f"{pack_key(pack_id)} does not exist and an index names it; {_BRING_BACK}")
        elif stored[pack_id] != size:
            findings.error(f"{pack_key(pack_id)} has {stored[pack_id]} bytes, not {size}; {_BRING_BACK}")
    if needed is None:
        _hint_at_packs(index, stored, findings)


def _hint_at_packs(index: BlobIndex, stored: dict[bytes, int], findings: Findings) -> None:
    for pack_id in stored.keys() - set(index.pack_ids):
        findings.hint(f"{pack_key(pack_id)} is in no index; a prune removes it")
    for number in mixed_packs(index):
        findings.hint(f"{pack_key(index.pack_ids[number])} holds trees and data; a prune separates them")


def mixed_packs(index: BlobIndex) -> Rows:
    """Numbers of the packs that hold both kinds."""
    _, packs, kinds, _ = index.columns()
    trees = np.bincount(packs, kinds, len(index.pack_ids))
    return np.flatnonzero((trees > 0) & (trees < np.bincount(packs, minlength=len(index.pack_ids))))


def stored_packs(bank: BankPlugin) -> dict[bytes, int]:
    """Size of every pack in the bank; other names are ignored."""
    items = ((item.key.rpartition("/")[2], item.size) for item in bank.list(DATA))
    return {bytes.fromhex(name): size for name, size in items if is_id(name)}


# --- data ---


def _read_packs(repository: Repository, structure: Structure, progress: Progress) -> int:
    sizes = structure.index.pack_sizes()
    total = sum(sizes[pack_id] for pack_id in structure.needed)
    buffer = memoryview(bytearray(max((sizes[pack_id] for pack_id in structure.needed), default=0) + 1))
    read_bytes = 0
    for pack_id, entries in structure.packs_to_read():
        progress.check()
        errors, size = read_and_check_pack(repository.bank, pack_id, entries, repository.sealer, buffer)
        read_bytes += size
        for error in errors:
            structure.findings.error(error)
        progress.report(Counts("packs", done_bytes=read_bytes, total_bytes=total))
    return read_bytes


def read_and_check_pack(
    bank: BankPlugin,
    pack_id: bytes,
    entries: Sequence[BlobEntry],
    sealer: Sealer,
    buffer: memoryview,
    decompressor: zstandard.ZstdDecompressor | None = None,
) -> tuple[list[str], int]:
    """Read one pack from the medium and prove it; the errors, and how many bytes were read.

    :param buffer: reused from pack to pack; a larger one is made when it is too small.
    """
    expected = pack_bytes(entries)
    if len(buffer) <= expected:
        buffer = memoryview(bytearray(expected + 1))
    try:
        # One byte more than expected is asked for, so that a longer object shows.
        size = bank.read_into(pack_key(pack_id), buffer[: expected + 1], fresh=True)
    except BankObjectNotFound:
        return [f"{pack_key(pack_id)} does not exist and an index names it; {_BRING_BACK}"], 0
    except (BankUnavailable, BankRefused) as error:
        return [f"{pack_key(pack_id)} could not be read: {error}; {_TRY_AGAIN}"], 0
    return check_pack(buffer[:size], pack_id, entries, sealer, decompressor), size


def check_pack(
    pack: Buffer,
    pack_id: bytes,
    entries: Sequence[BlobEntry],
    sealer: Sealer,
    decompressor: zstandard.ZstdDecompressor | None = None,
) -> list[str]:
    """Prove a pack: its hash, its header against the index, each blob's tag, frame and hash.

    :param entries: what the index says of it.
    :returns: one sentence for each thing that is wrong; none for a good pack. Never raises for bad bytes.
    """
    decompressor = decompressor or zstandard.ZstdDecompressor()
    errors = []
    if hashlib.sha256(pack).digest() != pack_id:
        errors.append(f"{pack_key(pack_id)} is damaged: its bytes do not fit its name; {_BRING_BACK}")
    errors.extend(_check_header(pack, pack_id, entries, sealer))
    view = memoryview(pack)
    for entry in entries:
        unit = view[entry.offset : entry.offset + entry.length]
        try:
            open_blob(sealer, decompressor, entry, unit)
        except VaultDamaged as error:
            errors.append(f"{pack_key(pack_id)}: {error}; {_BRING_BACK}")
    return errors


def _check_header(
    pack: Buffer, pack_id: bytes, entries: Sequence[BlobEntry], sealer: Sealer
) -> Iterator[str]:
    try:
        header = open_header(sealer, pack)
    except (FormatError, UnitDamaged) as error:
        yield f"{pack_key(pack_id)} is damaged: its header: {error}; {_BRING_BACK}"
        return
    if header != sorted(entries, key=lambda entry: entry.offset):
        yield f"{pack_key(pack_id)}: its header and the index tell different things; {_INDEX_ADVICE}"


def _named(error: ProtectdError, key: str) -> str:
    return str(error) if isinstance(error, VaultDamaged) else f"{key} could not be read: {error}"
