"""Taking turns within a process, first come first served."""

from __future__ import annotations

import threading
from collections import deque


class Turns:
    """One has the turn, the others sleep until it is theirs, in the order they came. The turn belongs to
    whatever took it, not to a thread: any thread may give it back, once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Lock] = deque()

    def take(self, wait_s: float) -> bool:
        """:returns: False: it did not come within `wait_s`; there is nothing to give back."""
        with self._lock:
            if not self._taken:
                self._taken = True
                return True
            called = threading.Lock()
            called.acquire()
            self._waiting.append(called)
        return called.acquire(timeout=wait_s) or not self._leave(called)

    def give_back(self) -> None:
        """Call the next one. It has the turn from here on: who comes meanwhile stands behind it."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False

    def _leave(self, called: threading.Lock) -> bool:
        """False: the turn came at the very end of the wait."""
        with self._lock:
            if called not in self._waiting:
                return False
            self._waiting.remove(called)
            return True
