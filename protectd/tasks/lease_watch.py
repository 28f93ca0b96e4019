"""Keeping the leases of tasks that take their time: a task that ends within a moment costs no thread."""

from __future__ import annotations

import math
import threading
import time
from typing import Protocol


class Late(Protocol):
    def start(self) -> None:
        """Begin; does not wait and raises nothing."""


class LeaseWatch:
    """Starts what was added and not removed when its time has come. One thread for a process, from the first
    use on. Thread safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due_s: dict[Late, float] = {}
        self._wakes_s = 0.0
        self._thread: threading.Thread | None = None

    def add(self, late: Late, delay_s: float) -> None:
        due_s = time.monotonic() + delay_s
        with self._changed:
            self._due_s[late] = due_s
            self._ensure_thread()
            if due_s < self._wakes_s:
                self._changed.notify()

    def remove(self, late: Late) -> None:
        """It is not started any more, or was before this returns. Safe to repeat."""
        with self._changed:
            self._due_s.pop(late, None)

    def _ensure_thread(self) -> None:
        """A forked server process gets a thread of its own."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="lease-watch", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        """It sleeps on though what it waits for was removed: short tasks wake nobody."""
        with self._changed:
            while True:
                self._start_due()
                self._wakes_s = min(self._due_s.values(), default=math.inf)
                self._changed.wait(min(self._wakes_s - time.monotonic(), threading.TIMEOUT_MAX))

    def _start_due(self) -> None:
        now_s = time.monotonic()
        for late in [late for late, due_s in self._due_s.items() if due_s <= now_s]:
            del self._due_s[late]
            late.start()
