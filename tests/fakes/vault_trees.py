"""Snapshots of nested directories, from what stands in a dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protectd.common.clock import SystemClock
from protectd.vault.pack import DATA, TREE
from protectd.vault.repository import Repository
from protectd.vault.snapshot import Snapshot
from protectd.vault.tree import Node
from tests.fakes.vault_kit import blob_id, directory_of, file_of, store_pack, tree_of

Content = Mapping[bytes, Any]
"""Bytes are a file of one blob, a tuple of bytes one of several; a mapping is a directory, a Node itself."""


def save_nested(
    vault: Repository, content: Content, *, paths: tuple[str, ...] = ("/",), tags: tuple[str, ...] = ()
) -> Snapshot:
    """Store it; trees and data that are there already are left out. The snapshot, with its id."""
    blobs: dict[bytes, tuple[str, bytes]] = {}
    root = _tree(content, blobs)
    index = vault.load_index()
    for kind in (DATA, TREE):
        fresh = [blob for name, blob in blobs.items() if blob[0] == kind and (kind, name) not in index]
        if fresh:
            store_pack(vault, fresh)
    made = Snapshot(SystemClock().now(), blob_id(root).hex(), paths, "host", "user", tags=tags)
    return vault.load_snapshot(vault.save_snapshot(made))


def _tree(content: Content, blobs: dict[bytes, tuple[str, bytes]]) -> bytes:
    tree = tree_of(*(_node(name, content[name], blobs) for name in sorted(content)))
    blobs[blob_id(tree)] = (TREE, tree)
    return tree


def _node(name: bytes, value: Any, blobs: dict[bytes, tuple[str, bytes]]) -> Node:
    if isinstance(value, Node):
        return value
    if isinstance(value, Mapping):
        return directory_of(name, _tree(value, blobs))
    pieces = value if isinstance(value, tuple) else (value,)
    blobs.update({blob_id(piece): (DATA, piece) for piece in pieces if piece})
    return file_of(name, *pieces)
