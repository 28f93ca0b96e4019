"""A snapshot of one regular file: a stream, or a note that describes others."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from datetime import datetime

from protectd.vault.identity import WriterIdentity
from protectd.vault.scan import group_name, user_name
from protectd.vault.snapshot import Snapshot
from protectd.vault.tree import Node, encode_node, encode_tree

_FILE_MODE = stat.S_IFREG | 0o600


def one_file_tree(name: str, size: int, content: Sequence[bytes], moment: datetime) -> tuple[bytes, bytes]:
    """Id and bytes of a directory that holds this one file, owned by this process.

    :param content: ids of its blobs. :param moment: its times, in whole seconds.
    """
    time_ns = int(moment.timestamp()) * 1_000_000_000
    uid, gid = os.geteuid(), os.getegid()
    node = Node(
        name=name.encode(),
        type="file",
        mode=_FILE_MODE,
        mtime_ns=time_ns,
        atime_ns=time_ns,
        ctime_ns=time_ns,
        uid=uid,
        gid=gid,
        user=user_name(uid),
        group=group_name(gid),
        size=size,
        content=list(content),
    )
    tree = encode_tree([encode_node(node)])
    return hashlib.sha256(tree).digest(), tree


def one_file_snapshot(
    name: str, tree_id: bytes, moment: datetime, identity: WriterIdentity, tags: Sequence[str]
) -> Snapshot:
    return Snapshot(
        time=moment,
        tree=tree_id.hex(),
        paths=(f"/{name}",),
        hostname=identity.hostname,
        username=identity.username,
        tags=tuple(tags),
    )
