"""Opening what a walk has seen, and nothing else."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

_LONGEST = 4000
"""Longer paths than this the kernel does not take at once."""
_BASE = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
READ_FILE = _BASE
READ_DIRECTORY = _BASE | os.O_DIRECTORY
PASS_DIRECTORY = os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_DIRECTORY
"""To go through a directory: it need not be readable."""


class Identity(NamedTuple):
    """Which file, whatever its name."""

    device: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        return cls(status.st_dev, status.st_ino)


class Replaced(Exception):
    """Another file stands under the name than the one that was seen there."""


def open_seen(path: bytes, flags: int, identity: tuple[int, int]) -> tuple[int, os.stat_result]:
    """A descriptor of the very file that was seen at `path`, and its status.

    A regular one, or with READ_DIRECTORY a directory: a file system gives the number of what was removed to
    what is made next, of whatever kind. Never waits (for the writer of a FIFO), and gives no other file: not
    one behind a symbolic link that has taken the place of a directory on the way either.

    :raises Replaced: something else is there now. :raises OSError: as open.
    """
    descriptor = os.open(path, flags) if len(path) <= _LONGEST else open_long(path, flags)
    status = os.fstat(descriptor)
    kind_fits = flags & os.O_DIRECTORY or stat.S_ISREG(status.st_mode)
    if not kind_fits or (status.st_dev, status.st_ino) != identity:
        os.close(descriptor)
        raise Replaced
    return descriptor, status


def open_long(path: bytes, flags: int) -> int:
    """As os.open, for absolute paths of any length."""
    if len(path) <= _LONGEST:
        return os.open(path, flags)
    cut = path.rindex(b"/", 0, _LONGEST)
    return _open_below(os.open(path[:cut] or b"/", PASS_DIRECTORY), path[cut + 1 :].split(b"/"), flags)


def open_plain(path: bytes, flags: int) -> int:
    """As `open_long`, and no part of the path may be a symbolic link.

    :raises OSError: one is; ENOTDIR then.
    """
    root = os.open(b"/", PASS_DIRECTORY)
    return _open_below(root, [name for name in path.split(b"/") if name] or [b"."], flags)


def _open_below(folder: int, names: list[bytes], flags: int) -> int:
    """Step by step; `folder` is closed."""
    try:
        for name in names[:-1]:
            inner = os.open(name, PASS_DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(names[-1], flags, dir_fd=folder)
    finally:
        os.close(folder)


def shown(path: bytes) -> str:
    """A path as text for people."""
    return path.decode("utf-8", "backslashreplace")
