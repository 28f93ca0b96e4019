"""What the planners of all operations share: progress out, cancel in."""

from __future__ import annotations

import time

from protectd.common.clock import SystemClock
from protectd.common.errors import Cancelled
from protectd.common.progress import Counts
from protectd.vault.pool import Channel

BEGUN = "begun"
COUNTS = "counts"
READY = "ready"
GO = "go"
CANCEL = "cancel"
_INTERVAL_S = 0.2


class ListeningClock(SystemClock):
    """Its sleep ends when the owner of the operation wants an end: for whoever waits for a lock."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._reporter.check()
            time.sleep(min(_INTERVAL_S, left))


class Reporter:
    """Tells the owner how far an operation is, at most five times a second, and hears when it has to end.

    Made before the operation leaves anything behind: until then its process may be killed.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        channel.send((BEGUN, None))
        self._next = 0.0
        self._next_check = 0.0

    def tell(self, counts: Counts) -> None:
        """:raises Cancelled: the owner wants it to end. :raises EOFError: the owner is gone."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _INTERVAL_S
        self.check()
        self._channel.send((COUNTS, counts))

    def check_sometimes(self) -> None:
        """As `tell`, without a picture."""
        now = time.monotonic()
        if now >= self._next_check:
            self._next_check = now + _INTERVAL_S
            self.check()

    def wait_for_go(self) -> None:
        """Tell the owner that the first write comes next, and wait for its word.

        :raises Cancelled: it wants an end instead. :raises EOFError: the owner is gone.
        """
        self._channel.send((READY, None))
        if self._channel.recv() == CANCEL:
            raise Cancelled

    def check(self) -> None:
        """Look now whether the owner wants it to end."""
        if self._channel.poll(0) and self._channel.recv() == CANCEL:
            raise Cancelled
