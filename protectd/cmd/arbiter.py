"""gunicorn's main process: it tells the service manager how it is, and logs as everything else does."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from gunicorn import arbiter, glogging

from protectd.cmd.systemd import Notifier, Watchdog


class Call:
    """What a child says, for its parent to hear. Make it before the fork."""

    def __init__(self) -> None:
        self._heard, self._said = os.pipe()
        for descriptor in (self._heard, self._said):
            os.set_blocking(descriptor, False)

    def say(self) -> None:
        with suppress(BlockingIOError):  # it was said often enough
            os.write(self._said, b".")

    def heard(self) -> bool:
        """Whether it was said since the last time this was asked."""
        with suppress(BlockingIOError):
            return bool(os.read(self._heard, 1024))
        return False


class Arbiter(arbiter.Arbiter):  # type: ignore[misc]
    """:param serving: called by each process that has begun to serve."""

    def __init__(self, app: Any, notifier: Notifier, serving: Call) -> None:
        self._notifier = notifier
        self._serving = serving
        self._watchdog = Watchdog(notifier)
        super().__init__(app)

    def murder_workers(self) -> None:
        """Called about once a second by the loop. Processes that hang are ended by it, and replaced."""
        super().murder_workers()
        if self._serving.heard():
            self._notifier.ready("serving")
        if self.WORKERS:
            self._watchdog.look()

    def stop(self, graceful: bool = True) -> None:
        self._notifier.stopping()
        super().stop(graceful)


class Log(glogging.Logger):  # type: ignore[misc]
    """Its lines go where all others go, in the same form."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True
