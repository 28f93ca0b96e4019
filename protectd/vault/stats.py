"""What a vault takes, and what each of its checkpoints has a part in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from protectd.common.progress import Counts, Progress
from protectd.common.reports import CheckpointStats, VaultStats
from protectd.plugin.base import BankPlugin
from protectd.vault.check_packs import stored_packs
from protectd.vault.crypto import MasterKey
from protectd.vault.findings import MAKE_AGAIN, Damage
from protectd.vault.index import BlobIndex
from protectd.vault.locks import reading_lock
from protectd.vault.maintenance import ReportedProgress
from protectd.vault.operation import ListeningClock, Reporter
from protectd.vault.options import EngineOptions
from protectd.vault.pool import Channel, Pool
from protectd.vault.repository import BlobReader, Repository
from protectd.vault.snapshot import Snapshot
from protectd.vault.tags import checkpoint_of, is_data
from protectd.vault.tree_graph import Mask, TreeGraph

_SHARED = -1
_NOBODYS = 0
_TELL_EVERY = 256


@dataclass(frozen=True)
class CountVault:
    """Role: count."""

    bank: BankPlugin
    key: MasterKey
    options: EngineOptions

    def run(self, channel: Channel, pool: Pool) -> VaultStats:
        repository = Repository.with_key(self.bank, self.key)
        reporter = Reporter(channel)
        clock, wait_s = ListeningClock(reporter), self.options.lock_wait_s
        with reading_lock(repository, self.options.identity(), clock, wait_s):
            return vault_stats(repository, ReportedProgress(reporter))


def vault_stats(repository: Repository, progress: Progress | None = None) -> VaultStats:
    """Count a vault. Every tree is read once.

    :raises VaultDamaged: an index file is. Damaged snapshots and trees are told in the report.
    """
    progress = progress or Progress()
    damaged = Damage(MAKE_AGAIN)
    groups = checkpoints_of(repository.snapshots(damaged))  # before the index, which has all their blobs then
    index = repository.load_index_to_read()
    graph = TreeGraph(BlobReader(repository, index), TreeTeller(progress))
    roots = {each.id: graph.add(each.tree_id, each.id) for group in groups.values() for each in group}
    report = _Count(index, graph, groups, roots, progress).report(stored_packs(repository.bank))
    return replace(report, errors=(*map(str, damaged.found.values()), *report.errors))


@dataclass
class TreeTeller:
    """Tells how many trees were read."""

    progress: Progress

    def __call__(self, trees: int) -> None:
        self.progress.check()
        if trees % _TELL_EVERY == 0:
            self.progress.report(Counts("trees", done_files=trees))


def checkpoints_of(snapshots: Sequence[Snapshot]) -> dict[str, list[Snapshot]]:
    """Snapshots by checkpoint; one that belongs to none is alone under its own id."""
    groups: dict[str, list[Snapshot]] = {}
    for snapshot in snapshots:
        groups.setdefault(checkpoint_of(snapshot) or snapshot.id, []).append(snapshot)
    return groups


class _Count:
    def __init__(
        self,
        index: BlobIndex,
        graph: TreeGraph,
        groups: Mapping[str, Sequence[Snapshot]],
        roots: Mapping[str, int],
        progress: Progress,
    ) -> None:
        self._index = index
        self._graph = graph
        self._groups = groups
        self._roots = roots
        self._progress = progress
        self._lengths = index.columns()[3].astype(np.int64)
        self._owners = np.full(len(index), _NOBODYS, np.int32)
        self._files, self._sizes = graph.totals()
        self._errors: dict[str, None] = {}

    def report(self, sizes: Mapping[bytes, int]) -> VaultStats:
        """:param sizes: of all packs in the bank."""
        stored = [self._claim(number, group) for number, group in enumerate(self._groups.values(), 1)]
        unique = np.bincount(
            np.maximum(self._owners, 0), self._lengths * (self._owners > 0), len(self._groups) + 1
        )
        needed = self._owners != _NOBODYS
        rows = np.flatnonzero(needed)
        indexed = set(self._index.pack_ids)
        return VaultStats(
            snapshots=len(self._roots),
            packs=len(sizes),
            blobs=len(rows),
            logical_bytes=sum(self._logical(group) for group in self._groups.values()),
            plain_bytes=int(self._index.sizes_at(rows).sum()),
            stored_bytes=sum(sizes.values()),
            needed_bytes=int(self._lengths[rows].sum()),
            shared_bytes=int(self._lengths[self._owners == _SHARED].sum()),
            unneeded_bytes=int(self._lengths[~needed].sum())
            + sum(size for pack_id, size in sizes.items() if pack_id not in indexed),
            checkpoints=tuple(
                self._checkpoint(name, group, stored[number - 1], int(unique[number]))
                for number, (name, group) in enumerate(self._groups.items(), 1)
            ),
            errors=tuple(self._errors),
        )

    def _claim(self, number: int, group: Sequence[Snapshot]) -> int:
        """Note which blobs a checkpoint needs; how many bytes they are."""
        self._progress.check()
        reach = self._graph.reach(self._roots[each.id] for each in group)
        self._errors.update(dict.fromkeys(reach.faults))
        self._owners[reach.rows] = self._owners_now(reach.rows, number)
        return int(self._lengths[reach.rows].sum())

    def _owners_now(self, rows: Mask, number: int) -> npt.NDArray[np.int32]:
        before = self._owners[rows]
        return np.where(before == _NOBODYS, number, _SHARED).astype(np.int32)

    def _logical(self, group: Sequence[Snapshot]) -> int:
        return sum(int(self._sizes[self._roots[each.id]]) for each in group if is_data(each))

    def _checkpoint(
        self, name: str, group: Sequence[Snapshot], stored_bytes: int, unique_bytes: int
    ) -> CheckpointStats:
        return CheckpointStats(
            name=name,
            is_checkpoint=checkpoint_of(group[0]) is not None,
            snapshot_ids=tuple(each.id for each in group),
            files=sum(int(self._files[self._roots[each.id]]) for each in group if is_data(each)),
            logical_bytes=self._logical(group),
            stored_bytes=stored_bytes,
            unique_bytes=unique_bytes,
        )
