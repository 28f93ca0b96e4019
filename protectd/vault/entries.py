"""Entries of a snapshot by their paths: finding one, and listing what is below it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from protectd.common.errors import ProtectdError
from protectd.plugin.base import BankRefused
from protectd.vault.errors import FormatError, PathNotInSnapshot, VaultDamaged
from protectd.vault.opening import shown
from protectd.vault.pack import TREE
from protectd.vault.repository import BlobReader
from protectd.vault.snapshot import Snapshot
from protectd.vault.tree import Node, decode_tree

ROOT = b"/"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry at an absolute path of a snapshot. `node` is None for `/`, which has no name of its own."""

    path: bytes
    node: Node | None
    subtree: bytes | None
    """Tree id, for a directory."""


Trouble = Callable[[bytes, str], None]
"""Hears of a directory that could not be read, and why; whoever reads goes on beside it."""


def path_parts(path: bytes, snapshot_id: str) -> list[bytes]:
    """Names on the way from the root. :raises PathNotInSnapshot: no snapshot can hold such a path."""
    parts = [part for part in path.split(b"/") if part and part != b"."]
    if b".." in parts or b"\0" in path:
        raise PathNotInSnapshot(
            snapshot_id=snapshot_id, path=shown(path), reason="a path here has neither '..' nor NUL"
        )
    return parts


def find_entry(reader: BlobReader, snapshot: Snapshot, path: bytes) -> Entry:
    """The entry at a path from the root. Links are not followed.

    :raises PathNotInSnapshot: there is none. :raises VaultDamaged: a directory on the way does not read.
    """
    found = Entry(ROOT, None, snapshot.tree_id)
    for name in path_parts(path, snapshot.id):
        if found.subtree is None:
            reason = f"{shown(found.path)} is no directory"
            raise PathNotInSnapshot(snapshot_id=snapshot.id, path=shown(path), reason=reason)
        node = next((each for each in nodes_of(reader, found.subtree, found.path) if each.name == name), None)
        if node is None:
            reason = f"{shown(found.path)} has no entry {shown(name)!r}"
            raise PathNotInSnapshot(snapshot_id=snapshot.id, path=shown(path), reason=reason)
        found = Entry(os.path.join(found.path, name), node, node.subtree)
    return found


def home_of(reader: BlobReader, snapshot: Snapshot) -> Entry:
    """The directory that a snapshot is about: the one that was saved, or `/` where it was not just one."""
    if len(snapshot.paths) == 1:
        try:
            found = find_entry(reader, snapshot, os.fsencode(snapshot.paths[0]))
        except PathNotInSnapshot:  # restic keeps a target that was named relative under its last name alone
            return Entry(ROOT, None, snapshot.tree_id)
        if found.subtree is not None:
            return found
    return Entry(ROOT, None, snapshot.tree_id)


def find_from_home(reader: BlobReader, snapshot: Snapshot, path: bytes) -> Entry:
    """As `find_entry`; a path that does not start with `/` starts at `home_of`."""
    if not path.startswith(b"/"):
        path = os.path.join(home_of(reader, snapshot).path, path)
    return find_entry(reader, snapshot, path)


def list_entries(reader: BlobReader, top: Entry, trouble: Trouble, *, recursive: bool) -> Iterator[Entry]:
    """What a directory holds, with `recursive` at every depth, each before what it holds, in order of names.

    An entry that is no directory is all there is to list. `top` itself is raised for when it does not read.
    """
    if top.subtree is None:
        yield top
        return
    waiting = [iter(children(reader, top))]
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
            continue
        yield entry
        if recursive and entry.subtree is not None:
            waiting.append(iter(_children_or_trouble(reader, entry, trouble)))


def children(reader: BlobReader, folder: Entry) -> Sequence[Entry]:
    """What a directory holds. :raises VaultDamaged: it does not read."""
    assert folder.subtree is not None
    nodes = nodes_of(reader, folder.subtree, folder.path)
    return [Entry(os.path.join(folder.path, node.name), node, node.subtree) for node in nodes]


def _children_or_trouble(reader: BlobReader, folder: Entry, trouble: Trouble) -> Sequence[Entry]:
    try:
        return children(reader, folder)
    except (VaultDamaged, BankRefused) as error:
        trouble(folder.path, unreadable(error))
        return ()


def nodes_of(reader: BlobReader, tree_id: bytes, path: bytes) -> list[Node]:
    """:raises VaultDamaged: the directory at `path` does not read; says so."""
    try:
        return decode_tree(reader.load(TREE, tree_id))
    except FormatError as error:
        raise VaultDamaged(
            object=f"directory {shown(path)} (tree {tree_id.hex()})", reason=str(error)
        ) from error


def unreadable(error: ProtectdError) -> str:
    return f"its entries could not be read: {error}"
