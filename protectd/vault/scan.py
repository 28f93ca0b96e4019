"""Listing a directory for a backup: what each entry is, and whether it has changed since the parent."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache

from protectd.vault.attributes import read_attributes
from protectd.vault.issues import Issues
from protectd.vault.opening import READ_DIRECTORY, Identity, Replaced, open_seen
from protectd.vault.previous import (
    EMPTY,
    PreviousFolder,
    content_of,
    same_prefix,
    subtree_of,
    unchanged_content,
    until_content,
)
from protectd.vault.seen_files import identity_in, pack_state
from protectd.vault.stage_names import is_stage
from protectd.vault.tree import Xattrs, file_node, node_prefix, other_node

_PORTION = 256
"""Entries that are looked at in one go."""


@dataclass(slots=True, eq=False)
class Folder:
    """A directory of the tree. `nodes` has a place for each entry, in the order of their names; an entry that
    is left out stays None. It is complete when nothing is `waiting`."""

    path: bytes
    identity: Identity
    prefix: bytes
    parent: Folder | None
    place: int
    previous_tree: bytes | None = None
    previous: PreviousFolder = EMPTY
    kept: bool = False
    """Its previous tree holds for it; it is not scanned."""
    lost: bool = False
    """It could not be listed and is left out."""
    nodes: list[bytes | None] = field(default_factory=list)
    waiting: int = 0


@dataclass(slots=True, eq=False)
class FileEntry:
    """A file whose content has to be read. `prefix` is its node without the content."""

    folder: Folder
    place: int
    name: bytes
    state: bytes
    """See `pack_state`."""
    size: int
    sparse: bool
    prefix: bytes
    hard_link: bool
    tries: int = 0

    @property
    def path(self) -> bytes:
        return join(self.folder.path, self.name)

    @property
    def identity(self) -> Identity:
        return identity_in(self.state)


@lru_cache(maxsize=4096)
def user_name(uid: int) -> str:
    """ "" for a user without a name."""
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return ""


@lru_cache(maxsize=4096)
def group_name(gid: int) -> str:
    """ "" for a group without a name."""
    with suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return ""


@dataclass
class Tally:
    """What a scan has met."""

    files: int = 0
    directories: int = 0
    others: int = 0
    unmodified: int = 0
    logical_bytes: int = 0
    unmodified_bytes: int = 0

    def numbers(self) -> tuple[int, ...]:
        """What the constructor takes."""
        return (
            self.files,
            self.directories,
            self.others,
            self.unmodified,
            self.logical_bytes,
            self.unmodified_bytes,
        )

    def add(self, other: Tally) -> None:
        self.files += other.files
        self.directories += other.directories
        self.others += other.others
        self.unmodified += other.unmodified
        self.logical_bytes += other.logical_bytes
        self.unmodified_bytes += other.unmodified_bytes


class Scanner:
    """Looks at one directory after the other.

    :param known: whether all of these blobs are in the index.
    :param own_directory: this process may change its working directory; attributes are cheaper then.
    """

    def __init__(
        self,
        excludes: Collection[bytes],
        previous: Callable[[bytes | None], PreviousFolder],
        known: Callable[[list[bytes]], bool],
        issues: Issues,
        *,
        own_directory: bool,
    ) -> None:
        self._excludes = frozenset(excludes)
        self._holding_excludes = holding(excludes)
        self._previous = previous
        self._known = known
        self._issues = issues
        self._own_directory = own_directory
        self.tally = Tally()

    def scan(self, folder: Folder) -> Iterator[list[Folder | FileEntry]]:
        """Fill in the nodes that need no reading; give the other entries, some hundreds at a time.

        The caller sets the nodes of what it is given and counts `folder.waiting` down; the scan itself counts
        as one that waits.
        """
        folder.waiting += 1
        try:
            descriptor, _ = open_seen(folder.path, READ_DIRECTORY, folder.identity)
        except Replaced:
            self._lose(folder, "changed", "it was replaced while it was read")
            return
        except OSError as error:
            self._lose(folder, issue_kind(error), error.strerror or "")
            return
        try:
            yield from self._entries(folder, descriptor)
        except OSError as error:
            self._issues.add(folder.path, "unreadable", error.strerror or "")
        finally:
            os.close(descriptor)

    def _lose(self, folder: Folder, kind: str, reason: str) -> None:
        folder.lost = True
        self.tally.directories -= 1
        self._issues.add(folder.path, kind, reason)

    def _entries(self, folder: Folder, descriptor: int) -> Iterator[list[Folder | FileEntry]]:
        names = self._names(descriptor)
        if folder.path in self._holding_excludes:
            names = [name for name in names if join(folder.path, name) not in self._excludes]
        folder.nodes = [None] * len(names)
        previous = folder.previous = self._previous(folder.previous_tree)
        for start in range(0, len(names), _PORTION):
            if start and self._own_directory:
                os.fchdir(descriptor)  # others may have scanned meanwhile
            portion = []
            for place, name in enumerate(names[start : start + _PORTION], start):
                found = self._entry(_Spot(folder, descriptor, place, name), previous)
                if found is not None:
                    portion.append(found)
            folder.waiting += len(portion)
            yield portion

    def _names(self, descriptor: int) -> list[bytes]:
        """What a directory holds, sorted. From here on it is the working directory, where there is one."""
        if self._own_directory:
            os.fchdir(descriptor)
            return sorted(os.listdir(b"."))
        return sorted(map(os.fsencode, os.listdir(descriptor)))

    def again(self, entry: FileEntry) -> Folder | FileEntry | None:
        """Look once more at an entry that was replaced by another; what is to be done with it now.

        A directory comes too late to be gone through, and does not count.
        """
        self.forget(entry)
        try:
            descriptor, _ = open_seen(entry.folder.path, READ_DIRECTORY, entry.folder.identity)
        except (OSError, Replaced):
            self._issues.add(entry.path, "vanished", "its directory is gone")
            return None
        try:
            if self._own_directory:
                os.fchdir(descriptor)
            found = self._entry(_Spot(entry.folder, descriptor, entry.place, entry.name), EMPTY)
        finally:
            os.close(descriptor)
        if isinstance(found, FileEntry):
            found.tries = entry.tries + 1
        elif isinstance(found, Folder):
            self.tally.directories -= 1
        return found

    def forget(self, entry: FileEntry) -> None:
        """Take a file that is left out from the tally."""
        self.tally.files -= 1
        self.tally.logical_bytes -= entry.size

    def _entry(self, spot: _Spot, previous: PreviousFolder) -> Folder | FileEntry | None:
        try:
            if self._own_directory:
                status = os.lstat(spot.name)
            else:
                status = os.stat(spot.name, dir_fd=spot.descriptor, follow_symlinks=False)
            kind = stat.S_IFMT(status.st_mode)
            if kind == stat.S_IFREG:
                return self._file(spot, status, previous)
            if kind == stat.S_IFDIR:
                return None if is_stage(spot.name) else self._folder(spot, status, previous)
            self._other(spot, status, kind)
        except OSError as error:
            self._issues.add(spot.path, issue_kind(error), error.strerror or "")
        return None

    # --- kinds of entries ---

    def _file(self, spot: _Spot, status: os.stat_result, previous: PreviousFolder) -> FileEntry | None:
        size = status.st_size
        self.tally.files += 1
        self.tally.logical_bytes += size
        prefix = prefix_of(spot.name, status)
        old = previous.node_like(prefix) if previous.nodes else None
        if old is not None and same_prefix(old, prefix) and self._stored(content_of(old)):
            spot.folder.nodes[spot.place] = old
            self._count_unmodified(status)
            return None
        if xattrs := self._attributes(spot):
            prefix = prefix_of(spot.name, status, xattrs=xattrs)
        content = unchanged_content(old, status) if old is not None else None
        if content is not None and self._stored(content):
            spot.folder.nodes[spot.place] = file_node(prefix, content)
            self._count_unmodified(status)
            return None
        if not size:
            spot.folder.nodes[spot.place] = file_node(prefix, ())
            return None
        return FileEntry(
            spot.folder,
            spot.place,
            spot.name,
            pack_state(status),
            size,
            status.st_blocks * 512 < size,
            prefix,
            status.st_nlink > 1,
        )

    def _stored(self, content: list[bytes] | None) -> bool:
        return content is not None and self._known(content)

    def _count_unmodified(self, status: os.stat_result) -> None:
        self.tally.unmodified += 1
        self.tally.unmodified_bytes += status.st_size

    def _folder(self, spot: _Spot, status: os.stat_result, previous: PreviousFolder) -> Folder:
        self.tally.directories += 1
        prefix = prefix_of(spot.name, status)
        old = previous.node_like(prefix)
        if old is not None and same_prefix(old, prefix):
            prefix = until_content(old)
        else:
            prefix = self._with_attributes(spot, status, prefix)
        return Folder(spot.path, Identity.of(status), prefix, spot.folder, spot.place, subtree_of(old))

    def _other(self, spot: _Spot, status: os.stat_result, kind: int) -> None:
        if kind == stat.S_IFLNK:
            target = os.fsencode(os.readlink(spot.name, dir_fd=spot.descriptor))
            prefix = prefix_of(spot.name, status, link_target=target)
        elif kind in (stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK):
            prefix = self._with_attributes(spot, status, None)
        else:
            self._issues.add(spot.path, "socket", "sockets are not saved")
            return
        self.tally.others += 1
        spot.folder.nodes[spot.place] = other_node(prefix)

    # --- attributes ---

    def _with_attributes(self, spot: _Spot, status: os.stat_result, plain: bytes | None) -> bytes:
        xattrs = self._attributes(spot)
        if plain is not None and not xattrs:
            return plain
        return prefix_of(spot.name, status, xattrs=xattrs)

    def _attributes(self, spot: _Spot) -> Xattrs:
        where = spot.name if self._own_directory else b"/proc/self/fd/%d/%s" % (spot.descriptor, spot.name)
        try:
            return read_attributes(where)
        except OSError as error:
            self._issues.add(spot.path, "metadata", f"its extended attributes: {error.strerror}")
            return []


@dataclass(slots=True)
class _Spot:
    """One name in an open directory."""

    folder: Folder
    descriptor: int
    place: int
    name: bytes

    @property
    def path(self) -> bytes:
        return join(self.folder.path, self.name)


def holding(excludes: Collection[bytes]) -> frozenset[bytes]:
    """The directories that hold an entry which is left out."""
    return frozenset(os.path.dirname(path) for path in excludes)


def prefix_of(name: bytes, status: os.stat_result, *, link_target: bytes = b"", xattrs: Xattrs = ()) -> bytes:
    """A node up to its content, from what `lstat` tells of it."""
    user, group = user_name(status.st_uid), group_name(status.st_gid)
    return node_prefix(name, status, user, group, link_target=link_target, xattrs=xattrs)


def join(folder: bytes, name: bytes) -> bytes:
    return folder + name if folder.endswith(b"/") else folder + b"/" + name


def issue_kind(error: OSError) -> str:
    return "vanished" if error.errno in (errno.ENOENT, errno.ENOTDIR) else "unreadable"
