"""Buckets of rate limits in the memory of this process: a request costs the same however many came before.

The limits library counts in memory, too, but starts a thread to tidy up for nearly every request of a busy
service, which goes through all that is held.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

SWEEP_S = 10.0


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one request. `reset_s`: seconds until the bucket has room again for what it counts."""

    allowed: bool
    remaining: int
    reset_s: float


class Bucket(Protocol):
    """:ivar full_s: when it counts nothing any more; seconds of the monotonic clock."""

    full_s: float

    def take(self, now_s: float) -> Taken: ...


class MovingWindow:
    """At most `amount` in any `window_s`."""

    def __init__(self, amount: int, window_s: float) -> None:
        self._amount = amount
        self._window_s = window_s
        self._times: deque[float] = deque()
        self.full_s = 0.0

    def take(self, now_s: float) -> Taken:
        times, began_s = self._times, now_s - self._window_s
        while times and times[0] < began_s:
            times.popleft()
        allowed = len(times) < self._amount
        if allowed:
            times.append(now_s)
            self.full_s = now_s + self._window_s
        oldest_s = times[0] if times else now_s
        return Taken(allowed, self._amount - len(times), oldest_s + self._window_s - now_s)


class FixedWindow:
    """At most `amount` in each window, the first of which begins with the first request."""

    def __init__(self, amount: int, window_s: float) -> None:
        self._amount = amount
        self._window_s = window_s
        self._count = 0
        self.full_s = 0.0

    def take(self, now_s: float) -> Taken:
        if now_s >= self.full_s:
            self._count, self.full_s = 0, now_s + self._window_s
        self._count += 1
        return Taken(self._count <= self._amount, max(0, self._amount - self._count), self.full_s - now_s)


class Buckets:
    """One for each (rule, key), made at its first request and forgotten when it counts nothing any more.

    Safe for use from many threads.
    """

    def __init__(
        self, kind: Callable[[int, float], Bucket], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._kind = kind
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._swept_s = monotonic()

    def take(self, rule: str, key: str, amount: int, window_s: float) -> Taken:
        now_s, name = self._monotonic(), (rule, key)
        with self._lock:
            if now_s - self._swept_s > SWEEP_S:
                self._sweep(now_s)
            bucket = self._buckets.get(name)
            if bucket is None:
                bucket = self._buckets[name] = self._kind(amount, window_s)
            return bucket.take(now_s)

    def __len__(self) -> int:
        return len(self._buckets)

    def _sweep(self, now_s: float) -> None:
        self._buckets = {name: each for name, each in self._buckets.items() if each.full_s > now_s}
        self._swept_s = now_s
