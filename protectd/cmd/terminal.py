"""Long operations and whoever waits for them: one line that changes, and an end when it is asked for.

The line stands on a standard error that is a terminal; elsewhere it is silent.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

from protectd.common.progress import Counts, Progress
from protectd.common.units import human_bytes

_INTERVAL_S = 0.2
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruptible(Progress):
    """Ends where an operation says that it may end, so that no lock and nothing half done stays behind; a
    second signal ends it at once."""

    def __init__(self) -> None:
        self._asked = False

    def ask(self, number: int, frame: FrameType | None) -> None:
        """A handler of signals."""
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

    def check(self) -> None:
        if self._asked:
            raise KeyboardInterrupt


class TerminalProgress(Interruptible):
    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out
        self._next = 0.0
        self._shown = False

    def report(self, counts: Counts) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _INTERVAL_S
            self._shown = True
            self._out.write(f"\r\x1b[K{line(counts)[: _columns(self._out) - 1]}")
            self._out.flush()

    def clear(self) -> None:
        """Leave the line free for what comes next."""
        if self._shown:
            self._out.write("\r\x1b[K")
            self._out.flush()


def line(counts: Counts) -> str:
    parts = [counts.phase]
    if counts.total_bytes:
        share = min(100, 100 * counts.done_bytes // counts.total_bytes)
        parts.append(f"{share}%, {human_bytes(counts.done_bytes)} of {human_bytes(counts.total_bytes)}")
    elif counts.done_bytes:
        parts.append(human_bytes(counts.done_bytes))
    if counts.total_files:
        parts.append(f"{counts.done_files} of {counts.total_files}")
    elif counts.done_files:
        parts.append(str(counts.done_files))
    return ", ".join(parts)


def _columns(out: TextIO) -> int:
    try:
        return os.get_terminal_size(out.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


@contextmanager
def progress(*, shown: bool = True) -> Iterator[Progress]:
    """Of one operation, in the main thread. :param shown: False where the standard output is the picture."""
    made = TerminalProgress(sys.stderr) if shown and sys.stderr.isatty() else Interruptible()
    former = {number: signal.signal(number, made.ask) for number in _SIGNALS}
    try:
        yield made
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        if isinstance(made, TerminalProgress):
            made.clear()
