"""Telling the service manager how this process is: READY, STOPPING, and a watchdog fed by progress."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, MutableMapping, Sequence
from typing import Self

LOG = logging.getLogger(__name__)

SEND_S = 1.0
PINGS = 3
"""In each interval of the watchdog: two may be late or lost."""


class Notifier:
    """Sends to the socket of sd_notify(3); where there is none, it is silent.

    :param address: a path, or `@name` of the abstract name space; empty: nobody listens.
    :param watchdog_s: the process counts as hung after so long without a ping; 0: nobody watches.
    """

    def __init__(self, address: str, watchdog_s: float = 0.0) -> None:
        self._address = address
        self.watchdog_s = watchdog_s

    @classmethod
    def taken(cls, environ: MutableMapping[str, str] | None = None) -> Self:
        """Take it out of the environment: children are not to speak for this process."""
        environ = os.environ if environ is None else environ
        address = environ.pop("NOTIFY_SOCKET", "")
        microseconds, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        meant = pid in ("", str(os.getpid())) and microseconds.isdigit()
        return cls(address, int(microseconds) / 1e6 if meant else 0.0)

    def ready(self, status: str) -> None:
        self._send(f"READY=1\nSTATUS={status}")

    def stopping(self) -> None:
        self._send("STOPPING=1\nSTATUS=ending")

    def ping(self) -> None:
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        """A manager that does not listen is no reason to fail."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(SEND_S)
            try:
                sock.sendto(message.encode(), address)
            except OSError as error:
                LOG.warning("the service manager does not hear: %s", error.strerror or error)


class Pulse:
    """A part that has to show progress at least every `limit_s`."""

    def __init__(self, name: str, limit_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._limit_s = limit_s
        self._monotonic = monotonic
        self._last_s = monotonic()

    def beat(self) -> None:
        self._last_s = self._monotonic()

    def beats(self) -> bool:
        return self._monotonic() - self._last_s < self._limit_s


class Watchdog:
    """Pings while every pulse beats. Its `look` belongs into the main loop: one that hangs pings no more."""

    def __init__(
        self,
        notifier: Notifier,
        pulses: Sequence[Pulse] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._notifier = notifier
        self._pulses = pulses
        self._monotonic = monotonic
        self._next_s = 0.0

    def look(self) -> None:
        """Cheap; to be called more often than the watchdog asks for."""
        now = self._monotonic()
        if not self._notifier.watchdog_s or now < self._next_s:
            return
        self._next_s = now + self._notifier.watchdog_s / PINGS
        still = [pulse.name for pulse in self._pulses if not pulse.beats()]
        if still:
            LOG.error("no progress of %s; the service manager is not told to go on", ", ".join(still))
        else:
            self._notifier.ping()
