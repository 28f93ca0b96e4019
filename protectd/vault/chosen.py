"""Which entries of a saved directory are wanted back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from protectd.vault.entries import nodes_of, path_parts
from protectd.vault.errors import BlobMissing, PathNotInSnapshot, VaultError
from protectd.vault.findings import Damage
from protectd.vault.opening import shown
from protectd.vault.pack import TREE
from protectd.vault.repository import BlobReader
from protectd.vault.snapshot import Snapshot
from protectd.vault.tree import Node, decode_tree

_MAX_NAMED = 20


@dataclass(slots=True)
class Chosen:
    """A directory: `all` that is in it, or only what leads to chosen entries."""

    all: bool = False
    inner: dict[bytes, Chosen] = field(default_factory=dict)

    @classmethod
    def of(cls, paths: Iterable[Iterable[bytes]]) -> Self:
        """:param paths: names from the directory on; none at all are the directory itself."""
        top = cls()
        for names in paths:
            here: Chosen = top
            for name in names:
                here = here.inner.setdefault(name, Chosen())
            here.all = True
        return top

    def __contains__(self, name: bytes) -> bool:
        return self.all or name in self.inner

    def below(self, name: bytes) -> Chosen:
        """Of a directory in it that is contained."""
        return EVERYTHING if self.all else self.inner[name]


EVERYTHING = Chosen(all=True)


def saved_directory(reader: BlobReader, snapshot: Snapshot, source: str) -> tuple[bytes, Node | None]:
    """Tree and node of the directory that was saved; `/` has no node.

    :raises VaultError: the snapshot holds no such directory.
    """
    tree, node = snapshot.tree_id, None
    for name in filter(None, os.fsencode(os.path.normpath(source)).split(b"/")):
        nodes = {each.name: each for each in decode_tree(reader.load(TREE, tree))}
        node = nodes.get(name)
        if node is None or node.subtree is None:
            raise VaultError(reason=f"snapshot {snapshot.id} holds no directory {source!r}")
        tree = node.subtree
    return tree, node


@contextmanager
def blamed_on(damaged: Damage) -> Iterator[None]:
    """What no index knows may stand in an index file that does not read: then that is what to mend."""
    try:
        yield
    except BlobMissing as error:
        for cause in damaged.found.values():
            raise cause from error
        raise


def choose_paths(
    reader: BlobReader, tree_id: bytes, source: str, paths: Iterable[str], snapshot_id: str
) -> Chosen:
    """These paths: absolute ones of the snapshot, or relative ones from `source` on. Without any, everything.

    :param tree_id: of the directory `source`.
    :raises PathNotInSnapshot: one or more are not there; names them, and nothing was written.
    :raises VaultDamaged: a directory on the way does not read.
    """
    wanted = [_names(path, source, snapshot_id) for path in paths]
    if not wanted:
        return EVERYTHING
    chosen = Chosen.of(wanted)
    missing = list(_missing(reader, tree_id, os.fsencode(source), chosen))
    if missing:
        raise PathNotInSnapshot(snapshot_id=snapshot_id, path=_listed(missing), reason="nothing was restored")
    return chosen


def _listed(missing: list[bytes]) -> str:
    more = f" and {len(missing) - _MAX_NAMED} more" if len(missing) > _MAX_NAMED else ""
    return ", ".join(shown(path) for path in sorted(missing)[:_MAX_NAMED]) + more


def _names(path: str, source: str, snapshot_id: str) -> list[bytes]:
    names = path_parts(os.fsencode(path), snapshot_id)
    if not path.startswith("/"):
        return names
    above = path_parts(os.fsencode(source), snapshot_id)
    if names[: len(above)] != above:
        raise PathNotInSnapshot(snapshot_id=snapshot_id, path=path, reason=f"it is not below {source}")
    return names[len(above) :]


def _missing(reader: BlobReader, tree_id: bytes, folder: bytes, chosen: Chosen) -> Iterable[bytes]:
    """Paths of chosen entries that are not there."""
    waiting: list[tuple[bytes | None, bytes, Mapping[bytes, Chosen]]] = [(tree_id, folder, chosen.inner)]
    while waiting:
        tree, path, inner = waiting.pop()
        nodes = {} if tree is None else {node.name: node for node in nodes_of(reader, tree, path)}
        for name, choice in inner.items():
            here = os.path.join(path, name)
            node = nodes.get(name)
            if node is None:
                yield from _ends(choice, here)
            elif choice.inner:
                waiting.append((node.subtree, here, choice.inner))


def _ends(choice: Chosen, path: bytes) -> Iterable[bytes]:
    """What was asked for, of what is below a path that is not there."""
    waiting = [(choice, path)]
    while waiting:
        here, where = waiting.pop()
        if here.all:
            yield where
        waiting.extend((inner, os.path.join(where, name)) for name, inner in here.inner.items())
