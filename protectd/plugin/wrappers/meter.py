"""One line that several processes share: who sends next, and when."""

from __future__ import annotations

import fcntl
import os
import secrets
import struct
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Self

_STATE = struct.Struct("d")
_BURST_S = 1.0


class SharedFile(NamedTuple):
    """How others find the file: its place, and the name that tells that it is the one."""

    path: str
    name: str


class Meter:
    """A token bucket for bytes. Copies, in whatever process of this host, fill from the same one as long as
    the process of the first lives; then each is one of its own.

    What the bucket holds is kept as the moment at which it is full again (a virtual schedule), in a file
    without a name: a process that dies leaves nothing to clean up, and the system frees its lock.

    :param rate_bytes_s: more than that never passes for longer than a second.
    :param shared: the file of another process, if it is still there.
    """

    def __init__(
        self,
        rate_bytes_s: int,
        shared: SharedFile | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate_bytes_s = rate_bytes_s
        self._clock = clock
        opened = None if shared is None else _opened(shared)
        self._descriptor, self._file = opened or _made()
        self._lock = threading.Lock()
        weakref.finalize(self, os.close, self._descriptor)

    def __reduce__(self) -> tuple[type[Self], tuple[int, SharedFile]]:
        return type(self), (self._rate_bytes_s, self._file)

    def take(self, size: int) -> float:
        """Seconds to wait before, or after, so many bytes go over the line. They are taken at once."""
        now = self._clock()
        with self._locked():
            (full_at,) = _STATE.unpack(os.pread(self._descriptor, _STATE.size, 0))
            end: float = max(full_at, now - _BURST_S) + size / self._rate_bytes_s
            os.pwrite(self._descriptor, _STATE.pack(end), 0)
        return max(0.0, end - now)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """For threads and for processes: the system's lock belongs to an opened file, which threads share."""
        with self._lock:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)


def _made() -> tuple[int, SharedFile]:
    name = f"protectd-meter-{secrets.token_hex(8)}"
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    os.pwrite(descriptor, _STATE.pack(0.0), 0)
    return descriptor, SharedFile(f"/proc/{os.getpid()}/fd/{descriptor}", name)


def _opened(file: SharedFile) -> tuple[int, SharedFile] | None:
    """None when its process has ended, or has something else by now where the file was."""
    try:
        descriptor = os.open(file.path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    if os.readlink(f"/proc/self/fd/{descriptor}") == f"/memfd:{file.name} (deleted)":
        return descriptor, file
    os.close(descriptor)
    return None
