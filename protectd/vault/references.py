"""What a tree leads to, read without its times, owners and names: for whoever counts or copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from protectd.vault.errors import FormatError
from protectd.vault.tree import decode_name

_ID_BYTES = 32


class References(NamedTuple):
    """`data` are blob ids as often as they are used; `subtrees` name and tree id of each directory; bytes are
    those that the files claim."""

    data: list[bytes]
    subtrees: list[tuple[bytes, bytes]]
    files: int
    logical_bytes: int


def tree_references(tree: bytes) -> References:
    """:raises FormatError: not a tree, or one whose entries lead nowhere."""
    try:
        return _references(orjson.loads(tree)["nodes"] or ())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(reason="it is not a directory's JSON") from error


def _references(nodes: Sequence[Mapping[str, Any]]) -> References:
    texts: list[str] = []
    folders: list[Mapping[str, Any]] = []
    files = logical_bytes = 0
    for node in nodes:
        kind = node["type"]
        if kind == "file":
            texts += node["content"]
            files += 1
            logical_bytes += node.get("size", 0)
        elif kind == "dir":
            folders.append(node)
    names = [decode_name(folder["name"]) for folder in folders]
    subtrees = zip(names, _ids([folder["subtree"] for folder in folders]), strict=True)
    return References(_ids(texts), list(subtrees), files, logical_bytes)


def _ids(texts: Sequence[str]) -> list[bytes]:
    raw = bytes.fromhex("".join(texts))
    if len(raw) != _ID_BYTES * len(texts) or any(len(text) != 2 * _ID_BYTES for text in texts):
        raise FormatError(reason="it refers to something that is no id")
    return [raw[start : start + _ID_BYTES] for start in range(0, len(raw), _ID_BYTES)]
