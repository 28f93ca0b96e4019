"""What was learned a moment ago, so that nobody has to ask again at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

MOST = 10_000


class Memory(Generic[K, V]):
    """Nothing is known for longer than `keep_s` after it was noted, and what is over is let go of with the
    next note; with more than `most` things the oldest are forgotten.

    Safe for use from many threads.
    """

    def __init__(
        self, keep_s: float, most: int = MOST, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._keep_s = keep_s
        self._most = most
        self._monotonic = monotonic
        self._known: dict[K, tuple[float, V]] = {}
        self._lock = threading.Lock()

    def recall(self, key: K) -> V | None:
        with self._lock:
            until_s, value = self._known.get(key, (0.0, None))
        return value if self._monotonic() < until_s else None

    def note(self, key: K, value: V) -> None:
        now_s = self._monotonic()
        with self._lock:
            self._known.pop(key, None)
            self._forget(now_s)
            self._known[key] = now_s + self._keep_s, value

    def _forget(self, now_s: float) -> None:
        """The oldest come first: all are kept for the same time."""
        while self._known:
            oldest = next(iter(self._known))
            if self._known[oldest][0] > now_s and len(self._known) < self._most:
                return
            del self._known[oldest]

    def __len__(self) -> int:
        return len(self._known)
