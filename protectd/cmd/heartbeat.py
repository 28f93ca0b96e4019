"""A process's row in `services`, and the thread that keeps it fresh."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from protectd.cmd.systemd import Pulse
from protectd.common.clock import Clock
from protectd.common.errors import Unavailable
from protectd.model.clock import DatabaseClock
from protectd.model.models import Service
from protectd.model.unit_of_work import Database

LOG = logging.getLogger(__name__)


class Heartbeat:
    """Says every `interval_s` that `binary` on `host` lives. A database that is away is waited for.

    :param on_beat: told of the row after each report, so that the process heeds what an operator has set.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        host: str,
        binary: str,
        topic: str | None,
        interval_s: float,
        pulse: Pulse | None = None,
        version: str | None = None,
        on_beat: Callable[[Service], None] = lambda service: None,
    ) -> None:
        """:param pulse: beats at each try, whether the database is there or not.
        :param version: the newest version of messages that this process understands."""
        self._database = database
        self._clock = clock
        self._name = (host, binary, topic)
        self._interval_s = interval_s
        self._pulse = pulse
        self._version = version
        self._on_beat = on_beat
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def beat(self) -> None:
        """One report; makes the row at the first, and again when an operator removed it."""
        host, binary, topic = self._name
        with self._database.write() as uow:
            if isinstance(self._clock, DatabaseClock):
                self._clock.learn(uow.session)
            service = uow.services.register(host, binary, topic, version=self._version)
            uow.services.heartbeat(service.id, self._clock.now())
        self._on_beat(service)

    def _run(self) -> None:
        while not self._stop.is_set():
            if self._pulse is not None:
                self._pulse.beat()
            try:
                self.beat()
            except Unavailable as error:
                LOG.warning("no heartbeat: %s", error)
            self._stop.wait(self._interval_s)
