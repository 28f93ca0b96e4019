"""Is a directory just what its former tree says? A quick look that gives up at the first difference."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from typing import NamedTuple

from protectd.vault.previous import content_of, same_prefix, subtree_of
from protectd.vault.scan import Tally, prefix_of
from protectd.vault.stage_names import is_stage


class InnerFolder(NamedTuple):
    """A directory in the one that was looked at."""

    name: bytes
    device: int
    inode: int
    subtree: bytes


class SameFolder(NamedTuple):
    inner: list[InnerFolder]
    tally: Tally


def look(
    names: Sequence[bytes],
    nodes: Sequence[bytes],
    status_of: Callable[[bytes], os.stat_result],
    link_of: Callable[[bytes], bytes],
    known: Callable[[list[bytes]], bool],
) -> SameFolder | None:
    """Compare what is there with what was.

    :param names: of the directory now, sorted.
    :param nodes: of its former tree, in their order.
    :param known: whether all of these blobs are in the index.
    :returns: None as soon as anything is not the same, or is nothing that a quick look can judge.
    :raises OSError: an entry cannot be looked at.
    """
    if len(names) != len(nodes):
        return None
    tally = Tally()
    inner: list[InnerFolder] = []
    content: list[bytes] = []
    for name, old in zip(names, nodes, strict=True):
        status = status_of(name)
        kind = stat.S_IFMT(status.st_mode)
        prefix = prefix_of(name, status, link_target=link_of(name) if kind == stat.S_IFLNK else b"")
        if not same_prefix(old, prefix):
            return None
        if kind == stat.S_IFREG:
            ids = content_of(old)
            if ids is None:
                return None
            content += ids
            tally.files += 1
            tally.logical_bytes += status.st_size
        elif kind == stat.S_IFDIR:
            subtree = subtree_of(old)
            if subtree is None or is_stage(name):
                return None
            inner.append(InnerFolder(name, status.st_dev, status.st_ino, subtree))
            tally.directories += 1
        elif kind == stat.S_IFLNK:
            tally.others += 1
        else:
            return None
    tally.unmodified, tally.unmodified_bytes = tally.files, tally.logical_bytes
    return SameFolder(inner, tally) if known(content) else None
