"""Writing inside one directory and nowhere else: every step goes by handles and follows no link."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections import OrderedDict
from contextlib import suppress

from protectd.vault.attributes import Wanted, present
from protectd.vault.errors import TargetUnusable
from protectd.vault.opening import PASS_DIRECTORY, READ_DIRECTORY, Identity, open_plain, open_seen, shown

_MAX_OPEN = 128
ACLS = ("system.posix_acl_access", "system.posix_acl_default")


class Target:
    """Directories below a root, by their path relative to it (b"" is the root itself).

    :ivar owner: uid and gid of the directory that stood there, or nearest above, before the restore.
    :ivar found: what the directory itself had before the restore, or None when it was made for it.
    :ivar stands_for: the path that people are told: another one, where this is only on the way there.
    """

    def __init__(
        self,
        path: bytes,
        root: int,
        owner: tuple[int, int],
        found: Wanted | None = None,
        stands_for: bytes | None = None,
    ) -> None:
        self.path = path
        self.stands_for = path if stands_for is None else stands_for
        self.owner = owner
        self.found = found
        self.identity = Identity.of(os.fstat(root))
        self._root = root
        self._open: OrderedDict[bytes, int] = OrderedDict()

    @classmethod
    def prepare(cls, path: str, *, overwrite: bool) -> Target:
        """Make the target, and what is missing above it, for this user alone.

        The path was judged by whoever called: no part of it may have become a symbolic link.

        :raises TargetUnusable: not an absolute path, not a directory, or not empty.
        """
        raw = os.path.normpath(os.fsencode(path))
        if not path.startswith("/") or "\0" in path:
            raise TargetUnusable(path=path, reason="the path is not absolute")
        try:
            owner, new = _make(raw)
            root = open_plain(raw, READ_DIRECTORY)
            target = cls(raw, root, owner, None if new else present(root))
            if not overwrite and not target.is_empty():
                target.close()
                raise TargetUnusable(path=path, reason="it is not empty")
        except OSError as error:
            raise TargetUnusable(path=path, reason=error.strerror) from error
        return target

    @classmethod
    def attach(cls, path: bytes, identity: tuple[int, int]) -> Target:
        """The same target in another process. :raises Replaced: it is another directory by now."""
        root, status = open_seen(path, READ_DIRECTORY, identity)
        return cls(path, root, (status.st_uid, status.st_gid))

    def drop_lists(self) -> None:
        """What is made in it shall not inherit from it."""
        _drop_acls(self._root)

    def is_empty(self) -> bool:
        return not os.listdir(self._root)

    def folder(self, relative: bytes) -> int:
        """A descriptor, good until the next call. :raises OSError: no directory there, or a link to one."""
        if not relative:
            return self._root
        found = self._open.get(relative)
        if found is not None:
            self._open.move_to_end(relative)
            return found
        return self._descend(relative)

    def _descend(self, relative: bytes) -> int:
        known = relative
        while known and known not in self._open:
            known = known.rpartition(b"/")[0]
        descriptor = self._open.get(known, self._root)
        for name in relative[len(known) :].strip(b"/").split(b"/"):
            descriptor = os.open(name, READ_DIRECTORY, dir_fd=descriptor)
            known = known + b"/" + name if known else name
            self._keep(known, descriptor)
        return descriptor

    def _keep(self, relative: bytes, descriptor: int) -> None:
        self._open[relative] = descriptor
        if len(self._open) > _MAX_OPEN:
            os.close(self._open.popitem(last=False)[1])

    def found_folder(self, parent: bytes, name: bytes) -> Wanted | None:
        """What a directory has that is there already; None when none is."""
        with suppress(OSError):
            descriptor = os.open(name, READ_DIRECTORY, dir_fd=self.folder(parent))
            try:
                return present(descriptor)
            finally:
                os.close(descriptor)
        return None

    def make_folder(self, parent: bytes, name: bytes, *, overwrite: bool) -> bool:
        """Make a directory, 0700 for now; whether it is new. What else is there goes if `overwrite`.

        :raises FileExistsError: something else is there.
        """
        folder = self.folder(parent)
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=folder)
            return True
        if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            if not overwrite:
                raise FileExistsError(0, "something else is in its place")
            os.unlink(name, dir_fd=folder)
            os.mkdir(name, 0o700, dir_fd=folder)
            return True
        _drop_acls(self.folder(parent + b"/" + name if parent else name))
        return False

    def close(self) -> None:
        for descriptor in (*self._open.values(), self._root):
            os.close(descriptor)
        self._open.clear()


def _make(path: bytes) -> tuple[tuple[int, int], bool]:
    """Make what is missing of a path; the owner of the last part that was there, and whether the last of all
    is new."""
    folder = os.open(b"/", PASS_DIRECTORY)
    owner: tuple[int, int] | None = None
    new = False
    try:
        for name in filter(None, path.split(b"/")):
            status = os.fstat(folder)
            new = _make_one(folder, name)
            if new and owner is None:
                owner = status.st_uid, status.st_gid
            inner = os.open(name, PASS_DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
            if new and owner is not None and os.geteuid() == 0:
                os.chown(f"/proc/self/fd/{folder}", *owner)
        status = os.fstat(folder)
        return owner or (status.st_uid, status.st_gid), new
    finally:
        os.close(folder)


def _make_one(folder: int, name: bytes) -> bool:
    """Whether there was no such entry."""
    try:
        os.mkdir(name, 0o700, dir_fd=folder)
    except FileExistsError:
        return False
    return True


def _drop_acls(folder: int) -> None:
    """What is made in a directory shall not inherit from it."""
    for name in ACLS:
        with suppress(OSError):
            os.removexattr(folder, name)


def open_made(folder: int, name: bytes, flags: int, identity: tuple[int, int]) -> int:
    """A file that this restore has made, opened again by its name.

    :raises OSError: another file has taken its place: nothing may be written to that.
    """
    descriptor = os.open(name, flags, dir_fd=folder)
    if Identity.of(os.fstat(descriptor)) != identity:
        os.close(descriptor)
        raise OSError(errno.ESTALE, "another file has taken its place")
    return descriptor


def remove_made(folder: int, name: bytes, identity: tuple[int, int]) -> None:
    """Unlink a file that this restore has made, unless another has taken its place.

    :raises OSError: it is gone.
    """
    if Identity.of(os.stat(name, dir_fd=folder, follow_symlinks=False)) == identity:
        os.unlink(name, dir_fd=folder)


def temporary_name() -> bytes:
    return b".protectd-" + secrets.token_hex(8).encode()


def move_into_place(folder: int, temporary: bytes, name: bytes) -> None:
    """Replace whatever has the name, also an empty directory. The temporary entry is gone when this raises.

    :raises OSError: a directory with something in it is in the way.
    """
    try:
        with suppress(IsADirectoryError):
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            return
        os.rmdir(name, dir_fd=folder)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def shown_below(target: bytes, relative: bytes, name: bytes = b"") -> str:
    return shown(os.path.join(target, relative, name))
