"""Restores that replace something: written beside it first, and put in its place when they are whole.

The stage is a directory in the target, so that each entry is moved with one rename. Its planner holds a lock
on it: what is found without one was left by a process that was killed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import closing, suppress

from protectd.vault.issues import Issues
from protectd.vault.opening import READ_DIRECTORY
from protectd.vault.stage_names import NEW, WHOLE, is_stage, new_stage
from protectd.vault.target import Target

FULL = "a directory that is not empty is in its place"


class OtherFileSystem(Exception):
    """A part of the target cannot be reached by a rename."""


def has_mounts_below(path: bytes) -> bool:
    """Whether another file system, or another part of this one, is mounted below a directory."""
    with open("/proc/self/mountinfo", "rb") as mounts:
        points = [line.split()[4].decode("unicode_escape").encode("latin-1") for line in mounts]
    return any(point.startswith(path.rstrip(b"/") + b"/") for point in points)


class Stage:
    """:ivar target: the stage itself, to be written to as if it were the target."""

    def __init__(self, home: Target) -> None:
        """Made in `home`, where stages that nobody writes to any more are removed."""
        self._home = home
        self._time_ns = os.fstat(home.folder(b"")).st_mtime_ns
        for name in _left(home, NEW):
            _remove(home, name)
        self._name = new_stage()
        os.mkdir(self._name, 0o700, dir_fd=home.folder(b""))
        self._root = os.open(self._name, READ_DIRECTORY, dir_fd=home.folder(b""))
        _lock(self._root)
        self.target = Target(
            os.path.join(home.path, self._name), self._root, home.owner, home.found, stands_for=home.path
        )
        self.target.drop_lists()

    def close(self) -> None:
        """Remove it with what was not put in place. Workers have ended by now."""
        if self._name.endswith(NEW):
            self._remove()
            with suppress(OSError):  # nothing was changed
                os.utime(self._home.folder(b""), ns=(self._time_ns, self._time_ns))
        self.target.close()

    def _remove(self) -> None:
        with suppress(OSError):
            _clear(self.target)
            os.rmdir(self._name, dir_fd=self._home.folder(b""))

    def look(self, issues: Issues) -> None:
        """Find what would keep it from being put in place, before anything is.

        :raises OtherFileSystem: it cannot be done by renames.
        """
        for relative, names in self._common():
            folder = self._home.folder(relative)
            if os.fstat(folder).st_dev != os.fstat(self._root).st_dev:
                raise OtherFileSystem
            if names and not os.access(f"/proc/self/fd/{folder}", os.W_OK | os.X_OK):
                issues.add(self._where(relative, b""), "refused", "nothing can be made in it")
            for name, is_folder in names:
                if not is_folder and self._is_full(folder, name):
                    issues.add(self._where(relative, name), "refused", FULL)

    def put_in_place(self, issues: Issues, *, everything: bool) -> set[bytes]:
        """Move all of it. What cannot be is told, and the rest goes on: from here on it goes forward only.

        :param everything: it is all that was saved: a stage of an earlier restore is not needed any more.
        :returns: directories that were there before, relative to the target.
        """
        whole = self._name.removesuffix(NEW) + WHOLE
        os.rename(self._name, whole, src_dir_fd=self._home.folder(b""), dst_dir_fd=self._home.folder(b""))
        self._name = whole
        merged = set()
        for relative, names in self._common():
            merged.add(relative)
            for name, is_folder in names:
                try:
                    self._move(relative, name, is_folder=is_folder)
                except OSError as error:
                    issues.add(self._where(relative, name), "refused", error.strerror or str(error))
        self._remove()
        if everything and not issues.missing:
            for name in _left(self._home, WHOLE):
                _remove(self._home, name)
        return merged

    def _common(self) -> Iterator[tuple[bytes, list[tuple[bytes, bool]]]]:
        """Directories that are here and in the target, each with what of it is not a directory in both:
        names, and whether it is a directory here."""
        waiting = [b""]
        while waiting:
            relative = waiting.pop()
            here, there = self.target.folder(relative), self._home.folder(relative)
            found = []
            for name, is_folder in _entries(here):
                if is_folder and _is_folder(there, name):
                    waiting.append(os.path.join(relative, name))
                else:
                    found.append((name, is_folder))
            yield relative, found

    def _move(self, relative: bytes, name: bytes, *, is_folder: bool) -> None:
        """What was there goes in the moment in which its successor comes."""
        here, there = self.target.folder(relative), self._home.folder(relative)
        try:
            os.rename(name, name, src_dir_fd=here, dst_dir_fd=there)
        except OSError as error:
            if error.errno == errno.EISDIR and not is_folder:
                os.rmdir(name, dir_fd=there)
            elif error.errno == errno.ENOTDIR and is_folder:
                os.unlink(name, dir_fd=there)
            else:
                raise
            os.rename(name, name, src_dir_fd=here, dst_dir_fd=there)

    def _is_full(self, folder: int, name: bytes) -> bool:
        try:
            found = os.open(name, READ_DIRECTORY, dir_fd=folder)
        except OSError as error:
            return error.errno == errno.EACCES
        try:
            return bool(os.listdir(found))
        finally:
            os.close(found)

    def _where(self, relative: bytes, name: bytes) -> bytes:
        return os.path.join(self._home.path, relative, name).rstrip(b"/")


def _entries(folder: int) -> list[tuple[bytes, bool]]:
    with os.scandir(folder) as found:
        return [(os.fsencode(each.name), each.is_dir(follow_symlinks=False)) for each in found]


def _is_folder(folder: int, name: bytes) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _lock(descriptor: int) -> bool:
    """Whether nobody else has it. Where a file system has no such locks, nobody is taken for dead."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _left(home: Target, ending: bytes) -> list[bytes]:
    """Stages in a directory that so end."""
    names = map(os.fsencode, os.listdir(home.folder(b"")))
    return [name for name in names if is_stage(name, ending)]


def _remove(home: Target, name: bytes) -> None:
    """Remove a stage, unless somebody is at it."""
    with suppress(OSError):
        root = os.open(name, READ_DIRECTORY, dir_fd=home.folder(b""))
        with closing(Target(os.path.join(home.path, name), root, home.owner)) as left:
            if _lock(root):
                _clear(left)
                os.rmdir(name, dir_fd=home.folder(b""))


def _clear(target: Target) -> None:
    """Remove all that is in a directory, however deep."""
    folders = [b""]
    for relative in folders:
        folder = target.folder(relative)
        for name, is_folder in _entries(folder):
            if is_folder:
                folders.append(os.path.join(relative, name))
            else:
                os.unlink(name, dir_fd=folder)
    for relative in reversed(folders[1:]):
        above, name = os.path.split(relative)
        os.rmdir(name, dir_fd=target.folder(above))
