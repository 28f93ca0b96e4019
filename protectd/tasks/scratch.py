"""A place on this host where drills write: private, and cleared whoever dies in it."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from protectd.common.errors import ProtectdError
from protectd.common.units import human_bytes

LOG = logging.getLogger(__name__)

_ROOM = re.compile(r"protectd-drill-[0-9a-f-]{36}")
_LOCK = ".lock"
_BLOCK_BYTES = 4096
"""What an entry takes beside its bytes, at most, on usual file systems."""

_SPARE_BYTES = 16 * 1024 * 1024


class NoSpace(ProtectdError):
    """Nothing was written."""

    code = "verification.no_space"
    message = "a restore drill of this checkpoint needs {needed}, and its scratch place has {free}"


class ScratchUnusable(ProtectdError):
    code = "verification.no_scratch"
    message = "the scratch place of drills cannot be used: {reason}"


class Scratch:
    """Each drill has a room of its own, and holds a lock as long as it lives. The kernel lets go of the lock
    of whoever dies, however that happens: the next one, of whatever process of this host, clears his room."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))

    @contextmanager
    def room(self, id: str, *, data_bytes: int, entries: int) -> Iterator[Path]:
        """An empty directory; gone at the end of the block, with all that is in it.

        :param id: a UUID that no other drill has.
        :raises NoSpace: it would not hold so much.
        """
        self.sweep()
        path = self.root / f"protectd-drill-{id}"
        try:
            lock = _locked(path.with_name(path.name + _LOCK))
        except OSError as error:
            raise ScratchUnusable(reason=error.strerror) from error
        try:
            self._check_space(data_bytes + entries * _BLOCK_BYTES + _SPARE_BYTES, entries)
            path.mkdir(mode=0o700)
            yield path
        finally:
            _clear(path, lock)

    def sweep(self) -> int:
        """Clear the rooms of the dead. :returns: how many there were."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            names = sorted(os.listdir(self.root))
        except OSError as error:
            raise ScratchUnusable(reason=error.strerror) from error
        swept = 0
        for name in {name.removesuffix(_LOCK) for name in names}:
            if _ROOM.fullmatch(name):
                swept += self._sweep(self.root / name)
        return swept

    def _sweep(self, path: Path) -> bool:
        lock = _try_lock(path.with_name(path.name + _LOCK))
        if lock is None:
            return False
        LOG.warning("scratch: clearing %s, whose drill was lost", path.name)
        _clear(path, lock)
        return True

    def _check_space(self, needed: int, entries: int) -> None:
        found = os.statvfs(self.root)
        free = found.f_bavail * found.f_frsize
        if free < needed or (found.f_files and found.f_favail < entries):
            raise NoSpace(needed=human_bytes(needed), free=human_bytes(free))


def _locked(path: Path) -> int:
    """A descriptor that holds the lock of this very file, which a sweep may just have taken away."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), os.stat(path)):
                return lock
        os.close(lock)


def _try_lock(path: Path) -> int | None:
    """None: its drill lives."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _clear(path: Path, lock: int) -> None:
    """The room goes before its lock. What does not go now goes with the next sweep."""
    try:
        remove_tree(path)
        path.with_name(path.name + _LOCK).unlink(missing_ok=True)
    except OSError as error:
        LOG.warning("scratch: %s cannot be cleared yet: %s", path.name, error)
    finally:
        os.close(lock)


def remove_tree(path: Path) -> None:
    """Remove a directory of any depth, with whatever modes. Inner ones are moved up until nothing is below
    them, so that neither paths nor this grow with the depth."""
    if not path.exists():
        return
    os.chmod(path, 0o700)
    moved = 0
    while names := os.listdir(os.fsencode(path)):
        for name in names:
            inner = os.path.join(os.fsencode(path), name)
            if not stat.S_ISDIR(os.lstat(inner).st_mode):
                os.unlink(inner)
                continue
            os.chmod(inner, 0o700)
            for child in os.listdir(inner):
                below = os.path.join(inner, child)
                if stat.S_ISDIR(os.lstat(below).st_mode):
                    os.chmod(below, 0o700)
                    moved += 1
                    os.rename(below, os.path.join(os.fsencode(path), b".moved-%d-%d" % (os.getpid(), moved)))
                else:
                    os.unlink(below)
            os.rmdir(inner)
    os.rmdir(path)
