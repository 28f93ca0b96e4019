"""Programs that a test session starts, on free ports of loopback, and that end with it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

START_S = 60.0


def free_ports(count: int) -> list[int]:
    """Different ones, free a moment ago."""
    with ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in found]


@contextmanager
def running(
    command: Sequence[str | Path],
    log: Path,
    ready: Callable[[], object],
    environment: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """A program in the background, killed with this process whatever happens to it.

    :param ready: tried until it raises no OSError.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
        )
    try:
        _wait(process, ready, log)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], ready: Callable[[], object], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            ready()
            return
        except OSError as error:
            said = log.read_text(errors="replace")[-2000:]
            assert process.poll() is None, f"{process.args} ended with {process.returncode}: {said}"
            assert time.monotonic() < deadline, f"{process.args} does not answer: {error}: {said}"
            time.sleep(0.05)


def listens(*ports: int) -> Callable[[], None]:
    """Something answers at each."""

    def ready() -> None:
        for port in ports:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()

    return ready
