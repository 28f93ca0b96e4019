"""Where the roles of an operation run: in warm child processes, or in threads where a bank cannot be shared.

A role talks over one channel. Whatever it sends is a tagged message; the last one is `done` with its result
or `failed` with its error, after which the place is free for the next role.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Protocol, Self, TypeAlias

from protectd.common.errors import ProtectdError
from protectd.common.trail import carried, names
from protectd.vault.errors import VaultError, WorkerLost

DONE = "done"
FAILED = "failed"
STOP_GRACE_S = 3.0
_MAX_IDLE = 2
_GONE = (EOFError, ConnectionError, BrokenPipeError)

Channel: TypeAlias = "Connection[Any, Any]"


class Role(Protocol):
    """Picklable: what a child does. Runs once."""

    def run(self, channel: Channel, pool: Pool) -> Any:
        """Do it; what it returns is sent as `done`. `pool` gives places for helpers."""


class Place(Protocol):
    """Somewhere a role runs."""

    channel: Channel

    def kill(self) -> None:
        """End it now, whatever it does."""


class Pool(Protocol):
    def start(self, role: Role) -> Place: ...

    def release(self, place: Place) -> None:
        """Take back a place whose role has said `done` or `failed`."""

    def discard(self, place: Place) -> None:
        """Take back a place that does not answer."""


@dataclass(frozen=True)
class Start:
    """What begins a role. A child without one skips whatever else comes: jobs that a failed role has left.

    :ivar about: what log lines are to name meanwhile.
    """

    role: Role
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepare:
    """What a child, and each of its own, does before its first role."""

    call: Callable[[], None]


def serve(role: Role, channel: Channel, pool: Pool) -> None:
    """Run a role and send how it ended. Errors that nobody raises on purpose end the child: its owner sees
    the channel close, and the traceback is on the standard error."""
    try:
        message = (DONE, role.run(channel, pool))
    except _GONE:
        return
    except ProtectdError as error:
        message = (FAILED, error)
    except (OSError, MemoryError) as error:
        message = (FAILED, VaultError(reason=f"{type(error).__name__}: {error}"))
    with suppress(*_GONE):
        channel.send(message)


def receive(place: Place) -> tuple[str, Any]:
    """The next message of a role. :raises WorkerLost: its process has ended."""
    try:
        tag, value = place.channel.recv()
    except _GONE:
        raise WorkerLost(reason="it ended without a word") from None
    return tag, value


def send(place: Place, message: Any) -> None:
    """:raises WorkerLost: the role's process has ended."""
    try:
        place.channel.send(message)
    except _GONE:
        raise WorkerLost(reason="it ended while work was given to it") from None


# --- processes ---


@dataclass
class _Child:
    channel: Channel
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class ProcessPool:
    """Warm children, started by exec when none is idle. Thread safe.

    The kernel kills a child when the *thread* that started it ends, so one thread starts them all and lives
    as long as the pool.
    """

    def __init__(
        self,
        max_idle: int | None = None,
        *,
        held: int | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        """:param held: a descriptor that every child, and theirs, holds open for as long as it lives.
        :param prepare: picklable; every child, and theirs, calls it once.
        """
        self._held = held
        self.prepare = prepare
        self._max_idle = max(_MAX_IDLE, os.cpu_count() or 1) if max_idle is None else max_idle
        self._idle: list[_Child] = []
        self._all: set[int] = set()
        self._lock = threading.Lock()
        self._starter: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, role: Role) -> Place:
        for _ in range(self._max_idle + 1):
            child = self._take() or self._new()
            with suppress(*_GONE):
                child.channel.send(Start(role, dict(names())))
                return child
            self.discard(child)  # an idle one that died; the next is fresh at the latest
        raise WorkerLost(reason="it does not start")

    def _take(self) -> _Child | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _new(self) -> _Child:
        child = self._submit(partial(_start_child, self._held))
        if self.prepare is not None:
            with suppress(*_GONE):
                child.channel.send(Prepare(self.prepare))
        return child

    def _submit(self, start: Callable[[], _Child]) -> _Child:
        with self._lock:
            if self._starter is None:
                self._starter = ThreadPoolExecutor(1, thread_name_prefix="vault-starter")
        return self._starter.submit(start).result()

    def release(self, place: Place) -> None:
        assert isinstance(place, _Child)
        with self._lock:
            if len(self._idle) < self._max_idle:
                self._idle.append(place)
                return
        _stop([place])

    def discard(self, place: Place) -> None:
        place.channel.close()
        place.kill()

    def close(self) -> None:
        """End the idle children; those at work end when their channel closes, or with this process."""
        with self._lock:
            idle, self._idle = self._idle, []
            starter, self._starter = self._starter, None
        _stop(idle)
        if starter is not None:
            starter.shutdown()


def _start_child(held: int | None) -> _Child:
    ours, theirs = socket.socketpair()
    with theirs:
        descriptors = [theirs.fileno()] if held is None else [theirs.fileno(), held]
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", __package__ + ".host", str(os.getpid()), *map(str, descriptors)],
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno() if _has_stderr() else subprocess.DEVNULL,
            env=_environment(),
        )
    return _Child(Connection(ours.detach()), process)


def _has_stderr() -> bool:
    try:
        return sys.stderr.fileno() >= 0
    except (AttributeError, OSError, ValueError):
        return False


def _environment() -> dict[str, str]:
    """A child finds the modules where its parent found them, plug-ins included; and numpy, which only sorts
    and counts here, starts no threads of linear algebra, which would spin on the workers' cores."""
    modules = os.pathsep.join(map(os.path.abspath, sys.path))
    return {**os.environ, "PYTHONPATH": modules, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _stop(children: list[_Child]) -> None:
    """End idle children: they hold nothing, so nothing is waited for. Theirs die with them."""
    for child in children:
        child.channel.close()
        child.process.kill()
    for child in children:
        child.process.wait()


# --- threads ---


@dataclass
class _Strand:
    channel: Channel
    thread: threading.Thread = field(repr=False)

    def kill(self) -> None:
        """A thread cannot be killed: it ends when it next uses its channel."""


class ThreadPool:
    """A thread for each role, for banks that live in this process. Nothing is kept warm."""

    def start(self, role: Role) -> Place:
        ours, theirs = Pipe()
        run = carried(partial(self._run, role, theirs))
        thread = threading.Thread(target=run, daemon=True, name="vault-role")
        thread.start()
        return _Strand(ours, thread)

    def _run(self, role: Role, channel: Channel) -> None:
        with channel:
            serve(role, channel, self)

    def release(self, place: Place) -> None:
        place.channel.close()

    def discard(self, place: Place) -> None:
        place.channel.close()

    def close(self) -> None:
        """Nothing is kept."""
