"""Where a running task is, how fast, and whether it may go on."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from protectd.common.clock import Clock
from protectd.common.errors import ProtectdError
from protectd.common.progress import Counts, Progress
from protectd.tasks.errors import Stopping

RATE_WINDOW_S = 10.0
"""The speed is that of the last ten seconds."""


class TaskProgress(Progress):
    """Keeps the newest picture for the lease keeper, and raises what the keeper was told."""

    def __init__(self, clock: Clock, stopping: threading.Event) -> None:
        self._clock = clock
        self._stopping = stopping
        self._lock = threading.Lock()
        self._counts: Counts | None = None
        self._end: ProtectdError | None = None
        self._samples: deque[tuple[float, int]] = deque()
        self._alive_s = clock.monotonic()

    def silent_s(self) -> float:
        """How long ago the work has last reported, or asked whether it may go on."""
        return self._clock.monotonic() - self._alive_s

    def report(self, counts: Counts) -> None:
        self._alive_s = self._clock.monotonic()
        with self._lock:
            if self._counts is None or counts.phase != self._counts.phase:
                self._samples.clear()
            self._counts = counts
            self._sample(counts.done_bytes)

    def check(self) -> None:
        """Return when the task may go on.

        :raises LeaseLost: it is another's.
        :raises Cancelled: it is to end, or (`Stopping`) to go on elsewhere.
        """
        self._alive_s = self._clock.monotonic()
        if self._end is not None:
            raise self._end
        if self._stopping.is_set():
            raise Stopping

    def end_with(self, error: ProtectdError) -> None:
        """Every `check` from now on raises this."""
        self._end = error

    def picture(self) -> dict[str, Any] | None:
        """The newest counts as they are kept in the row; None before the first."""
        with self._lock:
            counts, rate = self._counts, self._rate_bytes_s()
        if counts is None:
            return None
        return {
            "phase": counts.phase,
            "done_bytes": counts.done_bytes,
            "total_bytes": counts.total_bytes,
            "done_files": counts.done_files,
            "total_files": counts.total_files,
            "rate_bytes_s": round(rate),
            "eta_s": _eta_s(counts, rate),
        }

    def _sample(self, done_bytes: int) -> None:
        now = self._clock.monotonic()
        samples = self._samples
        samples.append((now, done_bytes))
        while len(samples) > 2 and now - samples[1][0] >= RATE_WINDOW_S:
            samples.popleft()

    def _rate_bytes_s(self) -> float:
        samples = self._samples
        if len(samples) < 2:
            return 0.0
        (begin_s, begin_bytes), (end_s, end_bytes) = samples[0], samples[-1]
        return max(0, end_bytes - begin_bytes) / (end_s - begin_s) if end_s > begin_s else 0.0


def _eta_s(counts: Counts, rate_bytes_s: float) -> int | None:
    """Whole seconds until all bytes are done; None while nobody can know."""
    if counts.total_bytes is None or rate_bytes_s <= 0:
        return None
    return round(max(0, counts.total_bytes - counts.done_bytes) / rate_bytes_s)
