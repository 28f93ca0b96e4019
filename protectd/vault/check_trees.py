"""Do the trees of snapshots hold together, and does the index know all their blobs?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from protectd.common.errors import ProtectdError
from protectd.common.progress import Counts, Progress
from protectd.plugin.base import BankRefused, BankUnavailable
from protectd.vault.errors import BlobMissing
from protectd.vault.findings import MAKE_AGAIN, REBUILD_INDEX, TRY_AGAIN, Findings
from protectd.vault.index import BlobIndex, Rows
from protectd.vault.pack import DATA, TREE
from protectd.vault.repository import BlobReader, Repository
from protectd.vault.snapshot import Snapshot
from protectd.vault.tree import Node
from protectd.vault.walk import Visit, walk

_HELD_AT_ONCE = 2048
"""Nodes and blobs: all nodes of a directory are held as long as one file of it waits."""


def check_trees(
    repository: Repository,
    index: BlobIndex,
    snapshots: Sequence[Snapshot],
    findings: Findings,
    progress: Progress,
    met: Callable[[Rows], None] = lambda rows: None,
) -> Rows:
    """Visit every tree; rows of the blobs that were met and are there.

    :param met: called with the rows of the blobs of some trees as they are met.
    """
    files = _Files(index, findings, met)
    trees: list[bytes] = []
    visits = walk(BlobReader(repository, index), [(each.id, each.tree_id) for each in snapshots])
    for done, visit in enumerate(visits, 1):
        progress.check()
        if done % 256 == 0:
            progress.report(Counts("trees", done_files=done))
        trees.append(visit.tree_id)
        if visit.error is not None:
            _tell(visit, visit.error, findings)
        else:
            _check_names(visit, findings)
            _check_empty_files(visit, findings)
            files.add(visit)
    files.flush()
    rows = np.concatenate([*files.used, index.rows_of(TREE, trees)])
    return np.unique(rows[rows >= 0])


def _tell(visit: Visit, error: ProtectdError, findings: Findings) -> None:
    if isinstance(error, BlobMissing):
        findings.unknown(f"{visit}: {error}", MAKE_AGAIN)
    elif isinstance(error, BankUnavailable | BankRefused):
        findings.miss(f"{visit}: {error}; {TRY_AGAIN}")
    else:
        findings.error(f"{visit}: {error}; {MAKE_AGAIN}")


def _check_names(visit: Visit, findings: Findings) -> None:
    for one, other in pairwise(visit.nodes):
        if one.name >= other.name:
            findings.error(f"{visit}: {other.name!r} is out of order or there twice; {MAKE_AGAIN}")


class _Files:
    """Are the blobs of files known, and do their sizes add up? Asked for many directories at once, since a
    question to the index costs as much for one blob as for hundreds.

    :ivar used: rows of the blobs that are there.
    """

    def __init__(self, index: BlobIndex, findings: Findings, met: Callable[[Rows], None]) -> None:
        self._index = index
        self._findings = findings
        self._met = met
        self._waiting: list[tuple[Visit, Node, list[bytes]]] = []
        self._held = 0
        self.used: list[Rows] = []

    def add(self, visit: Visit) -> None:
        for node in visit.nodes:
            if node.content:
                self._waiting.append((visit, node, node.content))
                self._held += len(node.content)
        self._held += len(visit.nodes)
        if self._held >= _HELD_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        waiting, self._waiting, self._held = self._waiting, [], 0
        if not waiting:
            return
        rows = self._index.rows_of(DATA, [blob_id for _, _, content in waiting for blob_id in content])
        self._compare(waiting, rows)
        there = rows[rows >= 0]
        self._met(there)
        self.used.append(there)

    def _compare(self, files: Sequence[tuple[Visit, Node, list[bytes]]], rows: Rows) -> None:
        """:param rows: of all blobs of all these files, one file after the other."""
        starts = np.cumsum([0, *(len(content) for _, _, content in files[:-1])])
        missing = np.add.reduceat((rows < 0).astype(np.int64), starts)
        known = self._index.sizes_at(rows) if len(self._index) else rows * 0
        sizes = np.add.reduceat(np.where(rows < 0, 0, known), starts)
        claimed = np.array([node.size for _, node, _ in files], dtype=object)
        for number in np.flatnonzero((missing > 0) | (sizes != claimed)).tolist():
            visit, node, content = files[number]
            if not missing[number]:
                self._findings.error(
                    f"{visit}: the file {node.name!r} has {sizes[number]} bytes stored and claims"
                    f" {node.size}; {MAKE_AGAIN}"
                )
                continue
            start = starts[number]
            first = content[int(np.argmax(rows[start : start + len(content)] < 0))].hex()
            self._findings.unknown(
                f"{visit}: the file {node.name!r} needs {missing[number]} data blob(s) that no index knows,"
                f" first {first}",
                f"{REBUILD_INDEX} if the packs are there, else {MAKE_AGAIN}",
            )


def _check_empty_files(visit: Visit, findings: Findings) -> None:
    for node in visit.nodes:
        if node.content == [] and node.size:
            findings.error(
                f"{visit}: the file {node.name!r} has no content and claims {node.size} bytes; {MAKE_AGAIN}"
            )
