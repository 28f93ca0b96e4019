"""Where a stream comes from, in a form that a child process can open."""

from __future__ import annotations

import os
import select
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from protectd.common.units import MIB
from protectd.plugin.base import ResourceUnavailable

_POLL_MS = 200
_NAME_MAX_BYTES = 255


def plain_name(name: str) -> str:
    """:raises ResourceUnavailable: no name that a file can have."""
    usable = name not in ("", ".", "..") and "/" not in name and "\0" not in name
    try:
        usable = usable and len(name.encode()) <= _NAME_MAX_BYTES
    except UnicodeEncodeError:
        usable = False
    if not usable:
        raise ResourceUnavailable(resource=ascii(name), reason="a stream needs a plain file name")
    return name


class Source(Protocol):
    """A stream on its way to another process. `path` is good while the source is open."""

    @property
    def path(self) -> str: ...

    def check(self) -> None:
        """When the reader has come to the end: raises what kept it from being that of the stream."""


@contextmanager
def readable(stream: BinaryIO) -> Iterator[Source]:
    """A path that gives what the stream gives, while the block runs. What is no pipe is pumped through one.

    :param stream: nothing of it was read before.
    """
    descriptor = _pipe_of(stream)
    if descriptor is not None:
        yield _Pipe(f"/proc/{os.getpid()}/fd/{descriptor}")
        return
    pump = _Pump(stream)
    try:
        yield pump
    finally:
        pump.close()


def _pipe_of(stream: BinaryIO) -> int | None:
    with suppress(OSError):  # io.UnsupportedOperation is one
        descriptor = stream.fileno()
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return descriptor
    return None


@dataclass(frozen=True)
class _Pipe:
    path: str

    def check(self) -> None:
        """Whoever wrote into it knows."""


class _Pump:
    """A thread that reads the stream and writes what it gets into a pipe."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._out, self._in = os.pipe()
        os.set_blocking(self._in, False)
        self.path = f"/proc/{os.getpid()}/fd/{self._out}"
        self._stop = threading.Event()
        self._whole = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="vault-stream", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """:raises ResourceUnavailable: the stream failed before its end."""
        self._thread.join()
        if not self._whole:
            reason = f"it could not be read to its end: {self._error or 'its reader failed'}"
            raise ResourceUnavailable(resource="the stream", reason=reason) from self._error

    def close(self) -> None:
        """A stream that hangs is left to itself; its thread ends with the next byte."""
        self._stop.set()
        self._thread.join(_POLL_MS / 1000)
        os.close(self._out)

    def _run(self) -> None:
        try:
            while not self._stop.is_set() and (data := self._stream.read(MIB)):
                self._write(memoryview(data))
            self._whole = True
        except (OSError, ValueError) as error:
            self._error = error
        finally:
            os.close(self._in)

    def _write(self, data: memoryview) -> None:
        ready = select.poll()
        ready.register(self._in, select.POLLOUT)
        while data and not self._stop.is_set():
            if ready.poll(_POLL_MS):
                data = data[os.write(self._in, data) :]
