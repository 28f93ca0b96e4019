"""SIGTERM and SIGINT as a question, and an end that comes even when something hangs."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType

LOOK_S = 0.2


class Ending:
    """Whether this process was asked to end, by SIGTERM or SIGINT. Make it in the main thread.

    `limit_s` after that the kernel ends it, whatever still runs: what it held is found and finished by
    others. The handler takes no lock, so it may interrupt anything.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._asked_at: float | None = None
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)

    def is_asked(self) -> bool:
        return self._asked_at is not None

    def wait(self, look: Callable[[], object] = lambda: None) -> None:
        """Return when it was asked. :param look: called several times a second meanwhile."""
        while self._asked_at is None:
            look()
            time.sleep(LOOK_S)

    def left_s(self) -> float:
        """Seconds until the limit; the whole of it before it was asked."""
        if self._asked_at is None:
            return self._limit_s
        return max(0.0, self._asked_at + self._limit_s - time.monotonic())

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked_at is None:
            self._asked_at = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, self._limit_s)
