"""Do the trees of snapshots hold together, and does the index know all their blobs?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from protectd.common.progress import Counts, Progress
from protectd.vault.findings import MAKE_AGAIN, REBUILD_INDEX, Findings
from protectd.vault.index import BlobIndex, Rows
from protectd.vault.pack import DATA, TREE
from protectd.vault.repository import BlobReader, Repository
from protectd.vault.snapshot import Snapshot
from protectd.vault.tree import Node
from protectd.vault.walk import Visit, walk


def check_trees(
    repository: Repository,
    index: BlobIndex,
    snapshots: Sequence[Snapshot],
    findings: Findings,
    progress: Progress,
    met: Callable[[Rows], None] = lambda rows: None,
) -> Rows:
    """Visit every tree; rows of the blobs that were met and are there.

    :param met: called with the rows of each tree's blobs as they are met.
    """
    used: list[Rows] = [np.empty(0, np.intp)]
    trees: list[bytes] = []
    visits = walk(BlobReader(repository, index), [(each.id, each.tree_id) for each in snapshots])
    for done, visit in enumerate(visits, 1):
        progress.check()
        if done % 256 == 0:
            progress.report(Counts("trees", done_files=done))
        trees.append(visit.tree_id)
        if visit.error is not None:
            findings.error(f"{visit}: {visit.error}; {MAKE_AGAIN}")
        else:
            rows = _check_tree(index, visit, findings)
            met(rows[rows >= 0])
            used.append(rows)
    rows = np.concatenate([*used, index.rows_of(TREE, trees)])
    return np.unique(rows[rows >= 0])


def _check_tree(index: BlobIndex, visit: Visit, findings: Findings) -> Rows:
    """Names in order, blobs known, sizes right; the rows of all blobs of the tree's files."""
    for one, other in pairwise(visit.nodes):
        if one.name >= other.name:
            findings.error(f"{visit}: {other.name!r} is out of order or there twice; {MAKE_AGAIN}")
    _check_empty_files(visit, findings)
    files = [(node, node.content) for node in visit.nodes if node.content]
    rows = index.rows_of(DATA, [blob_id for _, content in files for blob_id in content])
    if files:
        _check_files(index, visit, files, rows, findings)
    return rows


def _check_files(
    index: BlobIndex,
    visit: Visit,
    files: Sequence[tuple[Node, list[bytes]]],
    rows: Rows,
    findings: Findings,
) -> None:
    """:param rows: of all blobs of all these files, one file after the other."""
    lengths = [len(content) for _, content in files]
    starts = np.cumsum([0, *lengths[:-1]])
    missing = np.add.reduceat((rows < 0).astype(np.int64), starts)
    sizes = np.add.reduceat(np.where(rows < 0, 0, index.sizes_at(rows)) if len(index) else rows * 0, starts)
    claimed = np.array([node.size for node, _ in files], dtype=object)
    for number in np.flatnonzero((missing > 0) | (sizes != claimed)).tolist():
        node, content = files[number]
        if not missing[number]:
            findings.error(
                f"{visit}: the file {node.name!r} has {sizes[number]} bytes stored and claims {node.size};"
                f" {MAKE_AGAIN}"
            )
            continue
        first = content[int(np.argmax(rows[starts[number] :] < 0))].hex()
        findings.error(
            f"{visit}: the file {node.name!r} needs {missing[number]} data blob(s) that no index knows,"
            f" first {first}; {REBUILD_INDEX} if the packs are there, else {MAKE_AGAIN}"
        )


def _check_empty_files(visit: Visit, findings: Findings) -> None:
    for node in visit.nodes:
        if node.content == [] and node.size:
            findings.error(
                f"{visit}: the file {node.name!r} has no content and claims {node.size} bytes; {MAKE_AGAIN}"
            )
