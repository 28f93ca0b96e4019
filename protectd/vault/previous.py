"""The parent snapshot's trees: what an entry was when it was last saved."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

import orjson

from protectd.vault.errors import FormatError, VaultDamaged
from protectd.vault.pack import TREE
from protectd.vault.repository import BlobReader
from protectd.vault.tree import Node, decode_node, decode_tree, encode_node, split_tree

_NAME_END = b'","type":"'
_CONTENT = b'"content":'
_ONE_ID_BYTES = len('["') + 64 + len('"]}')
_FOLLOWERS = (_CONTENT, b'"extended_attributes":')


@dataclass(frozen=True, slots=True)
class PreviousFolder:
    """Nodes as bytes, by their start up to the end of the name."""

    nodes: dict[bytes, bytes]
    exact: bool = False
    """The tree has just these nodes, written as ours are."""

    def is_made_of(self, nodes: list[bytes | None]) -> bool:
        """Whether these are its nodes: then its tree is theirs. Cheap where they are the same objects."""
        return self.exact and len(nodes) == len(self.nodes) and nodes == list(self.nodes.values())

    def node_like(self, prefix: bytes) -> bytes | None:
        """The former node of the same name."""
        return self.nodes.get(prefix[: prefix.index(_NAME_END)])


EMPTY = PreviousFolder({})


class PreviousTrees:
    """Former directories by tree id. One that cannot be read counts as empty: its files are read again."""

    def __init__(self, reader: BlobReader) -> None:
        self._reader = reader

    def nodes(self, tree_id: bytes) -> list[bytes] | None:
        """The nodes of a former directory that is written as ours are; None for any other."""
        try:
            return split_tree(self._reader.load(TREE, tree_id))
        except VaultDamaged:
            return None

    def __call__(self, tree_id: bytes | None) -> PreviousFolder:
        if tree_id is None:
            return EMPTY
        try:
            return _previous(self._reader.load(TREE, tree_id))
        except (VaultDamaged, FormatError):
            return EMPTY


def _previous(tree: bytes) -> PreviousFolder:
    nodes = split_tree(tree)
    if nodes is None:
        return PreviousFolder(_by_name([encode_node(node) for node in decode_tree(tree)]))
    named = _by_name(nodes)
    return PreviousFolder(named, exact=len(named) == len(nodes))


def _by_name(nodes: list[bytes]) -> dict[bytes, bytes]:
    return {node[: node.index(_NAME_END)]: node for node in nodes if _NAME_END in node}


def same_prefix(old: bytes, prefix: bytes) -> bool:
    """Whether all that `lstat` tells is what it was. Attributes need not be asked for then: to change one
    sets the time of change."""
    return old.startswith(prefix) and old.startswith(_FOLLOWERS, len(prefix))


def until_content(old: bytes) -> bytes:
    """A node up to its content, attributes included."""
    return old[: old.rindex(_CONTENT)]


def content_of(old: bytes) -> list[bytes] | None:
    """Blob ids of a file node that is written as ours are; None for any other."""
    start = old.rindex(_CONTENT) + len(_CONTENT)
    try:
        if len(old) - start == _ONE_ID_BYTES:
            return [bytes.fromhex(old[start + 2 : -3].decode("ascii"))]
        ids = orjson.loads(old[start:-1])
        return [bytes.fromhex(each) for each in ids]
    except (ValueError, TypeError):
        return None


def subtree_of(old: bytes | None) -> bytes | None:
    """Tree id of a directory's node; None when it was no directory."""
    if old is None:
        return None
    _, _, rest = old.rpartition(b'"subtree":"')
    try:
        return bytes.fromhex(rest[:64].decode("ascii")) if len(rest) >= 64 else None
    except ValueError:
        return None


def unchanged_content(old: bytes, status: os.stat_result) -> list[bytes] | None:
    """Blob ids when a node of any writer tells the same file in the same state; None otherwise.

    Same means equal type, size, time of modification and of change, and inode.
    """
    try:
        node = decode_node(orjson.loads(old))
    except (FormatError, KeyError, TypeError, ValueError, AttributeError):
        return None
    return node.content if _state(node) == _state_of(status) else None


def _state(node: Node) -> tuple[int, ...]:
    return stat.S_IFMT(node.mode), node.size, node.mtime_ns, node.ctime_ns, node.inode


def _state_of(status: os.stat_result) -> tuple[int, ...]:
    return (
        stat.S_IFMT(status.st_mode),
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
    )
