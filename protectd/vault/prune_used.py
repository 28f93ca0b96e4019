"""What snapshots need, found by walking them; a second look walks only what is new."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from protectd.common.progress import Counts, Progress
from protectd.vault.errors import BlobMissing, SnapshotNotFound
from protectd.vault.index import BlobIndex, Rows
from protectd.vault.pack import DATA, TREE
from protectd.vault.repository import SNAPSHOTS, BlobReader, Repository
from protectd.vault.walk import Visit, walk

_TELL_EVERY = 256


Roots = Sequence[tuple[str, bytes]]
"""Ids of snapshots and of their root trees."""


class Walked:
    """Snapshots and trees that were seen: neither ever changes, so none is looked at twice."""

    def __init__(self, repository: Repository, progress: Progress) -> None:
        self._repository = repository
        self._progress = progress
        self._snapshots: set[str] = set()
        self._trees: set[bytes] = set()

    def new_roots(self) -> Roots:
        """Snapshots that came since the last call. An index that is loaded *after* this has all their blobs,
        whoever writes meanwhile.

        :raises VaultDamaged: one does not read.
        """
        roots = []
        for name in self._repository.names(SNAPSHOTS):
            if name in self._snapshots:
                continue
            try:
                snapshot = self._repository.load_snapshot(name)
            except SnapshotNotFound:
                continue
            self._snapshots.add(name)
            roots.append((name, snapshot.tree_id))
        return roots

    def ids(self, roots: Roots, index: BlobIndex) -> Iterator[tuple[str, list[bytes]]]:
        """Kind and ids of the blobs below the roots, as far as no earlier call has given them.

        :raises VaultDamaged: a tree does not read. :raises BlobMissing: `index` lacks a blob.
        """
        for visit in walk(BlobReader(self._repository, index), roots, self._trees):
            self._progress.check()
            if len(self._trees) % _TELL_EVERY == 0:
                self._progress.report(Counts("trees", done_files=len(self._trees)))
            if visit.error is not None:
                raise visit.error
            yield TREE, [visit.tree_id]
            yield DATA, _refuse_missing(index, visit)


def used_rows(walked: Walked, roots: Roots, index: BlobIndex) -> Rows:
    """First rows of all blobs below the roots. :raises VaultDamaged: as `Walked.ids`."""
    trees: list[bytes] = []
    used: list[Rows] = [np.empty(0, np.intp)]
    for kind, ids in walked.ids(roots, index):
        if kind == TREE:
            trees += ids
        else:
            used.append(index.rows_of(DATA, ids))
    return np.unique(np.concatenate([*used, index.rows_of(TREE, trees)]))


def _refuse_missing(index: BlobIndex, visit: Visit) -> list[bytes]:
    ids = [blob_id for node in visit.nodes for blob_id in node.content or ()]
    rows = index.rows_of(DATA, ids)
    if (rows < 0).any():
        missing = ids[int(np.argmax(rows < 0))].hex()
        raise BlobMissing(object=f"data blob {missing}", reason=f"{visit} needs it; nothing was removed")
    return ids
