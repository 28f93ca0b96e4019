"""All directories that snapshots lead to, each once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from protectd.common.errors import ProtectdError
from protectd.plugin.base import BankRefused, BankUnavailable
from protectd.vault.errors import FormatError, VaultDamaged, VaultError
from protectd.vault.pack import TREE
from protectd.vault.repository import BlobReader
from protectd.vault.tree import Node, decode_tree


@dataclass(slots=True)
class Visit:
    """One tree: where it was met first, and its nodes, or why there are none."""

    tree_id: bytes
    snapshot_id: str
    path: bytes
    nodes: list[Node] = field(default_factory=list)
    error: ProtectdError | None = None

    def __str__(self) -> str:
        return (
            f"directory {os.fsdecode(self.path)!r} of snapshot {self.snapshot_id} (tree {self.tree_id.hex()})"
        )


def walk(
    reader: BlobReader, roots: Iterable[tuple[str, bytes]], seen: set[bytes] | None = None
) -> Iterator[Visit]:
    """Visit each different tree below the roots once, in no promised order.

    :param roots: snapshot id and tree id.
    :param seen: trees that were visited before; those of this walk are added.
    :yields: visits; one with an `error` has no nodes, and the walk goes on beside it.
    """
    waiting = [Visit(tree_id, snapshot_id, b"/") for snapshot_id, tree_id in roots]
    seen = set() if seen is None else seen
    while waiting:
        visit = waiting.pop()
        if visit.tree_id in seen:
            continue
        seen.add(visit.tree_id)
        _read(reader, visit)
        waiting.extend(
            Visit(node.subtree, visit.snapshot_id, os.path.join(visit.path, node.name))
            for node in visit.nodes
            if node.subtree is not None
        )
        yield visit


def _read(reader: BlobReader, visit: Visit) -> None:
    try:
        visit.nodes = decode_tree(reader.load(TREE, visit.tree_id))
    except FormatError as error:
        visit.error = VaultDamaged(object=str(visit), reason=str(error))
    except (VaultError, BankUnavailable, BankRefused) as error:
        visit.error = error
