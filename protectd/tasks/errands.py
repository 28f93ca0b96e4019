"""What is done by one thread, though many bring it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

Errand = Callable[[], None]

MOST = 64
"""So many may wait in a process, which loses them when it is killed."""


class Errands:
    """Whoever finds nobody at work does what is brought, until nothing is left. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Errand] = deque()
        self._is_at_work = False

    def bring(self, errand: Errand) -> None:
        """Leave it to who is at work; where nobody is, or too much waits for that one, do it here.

        :param errand: raises nothing.
        """
        with self._lock:
            begins = not self._is_at_work
            alone = not begins and len(self._waiting) >= MOST
            if not alone:
                self._waiting.append(errand)
            self._is_at_work = True
        if alone:
            errand()
        elif begins:
            self._work()

    def _work(self) -> None:
        done = False
        try:
            while (errand := self._next()) is not None:
                errand()
            done = True
        finally:
            if not done:
                self._give_up()

    def _next(self) -> Errand | None:
        """None: nothing is left, and nobody is at work from here on."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._is_at_work = False
            return None

    def _give_up(self) -> None:
        """What waits is left to who comes next."""
        with self._lock:
            self._is_at_work = False
