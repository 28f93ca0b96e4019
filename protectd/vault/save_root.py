"""Where a backup starts: the directory, the ones above it, and what was saved of it before."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from protectd.plugin.base import ResourceUnavailable
from protectd.vault.attributes import read_attributes
from protectd.vault.errors import SnapshotNotFound, VaultDamaged
from protectd.vault.findings import MAKE_AGAIN, Damage
from protectd.vault.gofmt import name_json
from protectd.vault.opening import PASS_DIRECTORY, READ_DIRECTORY, Identity, open_plain, shown
from protectd.vault.previous import PreviousFolder, subtree_of
from protectd.vault.repository import Repository
from protectd.vault.scan import Folder, group_name, user_name
from protectd.vault.snapshot import Snapshot
from protectd.vault.tree import node_prefix

Previous = Callable[[bytes | None], PreviousFolder]


def normal_path(path: str) -> bytes:
    """The path without what means nothing. What it names was judged by whoever called: no part of it may have
    become a symbolic link.

    :raises ResourceUnavailable: no absolute path of UTF-8 text, or no directory that can be read."""
    if not path.startswith("/") or "\0" in path or ".." in path.split("/"):
        raise ResourceUnavailable(resource=path, reason="the path is not absolute and plain")
    try:
        raw = os.path.normpath(path).encode().replace(b"//", b"/")
    except UnicodeEncodeError:
        raise ResourceUnavailable(resource=ascii(path), reason="the path is not UTF-8 text") from None
    try:
        os.close(open_plain(raw, READ_DIRECTORY))
    except OSError as error:
        raise ResourceUnavailable(resource=path, reason=error.strerror or "") from error
    return raw


def open_root(path: bytes, previous_root: bytes | None, previous: Previous) -> Folder:
    """The folder to scan, in a chain of those above it, each with this one entry.

    :raises ResourceUnavailable: it has gone since it was looked at first.
    """
    folder = Folder(b"/", Identity.of(os.stat(b"/")), b"", None, 0, previous_root)
    for name in filter(None, path.split(b"/")):
        folder.nodes, folder.waiting = [None], 1
        folder = _below(folder, name, previous)
    return folder


def _below(folder: Folder, name: bytes, previous: Previous) -> Folder:
    path = os.path.join(folder.path, name)
    try:
        descriptor = open_plain(path, PASS_DIRECTORY)
        status = os.fstat(descriptor)
        os.close(descriptor)
        attributes = read_attributes(path)
    except OSError as error:
        raise ResourceUnavailable(resource=shown(path), reason=error.strerror or "") from error
    prefix = node_prefix(name, status, user_name(status.st_uid), group_name(status.st_gid), xattrs=attributes)
    old = previous(folder.previous_tree).nodes.get(b'{"name":"' + name_json(name))
    return Folder(path, Identity.of(status), prefix, folder, 0, subtree_of(old))


def choose_parent(repository: Repository, path: str, hostname: str, wanted: str | None) -> Snapshot | None:
    """The snapshot to compare with: the one that was asked for if it is still there, else the newest of the
    same path and host. One that is damaged is none."""
    if wanted is not None:
        try:
            return repository.load_snapshot(wanted)
        except (SnapshotNotFound, VaultDamaged):
            pass
    same = [each for each in repository.snapshots(Damage(MAKE_AGAIN)) if _is_of(each, path, hostname)]
    return same[-1] if same else None


def _is_of(snapshot: Snapshot, path: str, hostname: str) -> bool:
    return snapshot.hostname == hostname and tuple(snapshot.paths) == (path,)


def exclude_paths(excludes: Sequence[str]) -> list[bytes]:
    return [os.path.normpath(os.fsencode(path)) for path in excludes]
