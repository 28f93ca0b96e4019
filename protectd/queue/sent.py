"""Noting which tasks were announced, beside the requests that announced them."""

from __future__ import annotations

import logging
import threading
from datetime import datetime

from protectd.common.errors import Unavailable
from protectd.model.unit_of_work import Database

LOG = logging.getLogger(__name__)

GATHER_S = 0.8
"""Long enough for a worker to claim what was sent, which then needs no note; shorter than the age at which
the relay begins to care for a task."""


class SentMarks:
    """Writes the marks of many tasks in one transaction, from a thread of its own: a request that sent a
    message does not wait for the disk a second time. Thread safe.

    A mark that is lost has the task announced once more, which does no harm.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: list[tuple[str, datetime]] = []
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def add(self, task_id: str, sent_at: datetime) -> None:
        """:param sent_at: taken before the message left, so that whatever came of it is later."""
        with self._lock:
            self._waiting.append((task_id, sent_at))
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="sent-marks", daemon=True)
                self._thread.start()
        self._wake.set()

    def flush(self) -> None:
        """Write what waits now; when this returns, all that was added before it is written or given up."""
        with self._writing:
            with self._lock:
                taken, self._waiting = self._waiting, []
            if taken:
                self._write(taken)

    def close(self) -> None:
        """Write what waits and end the thread. Safe to repeat."""
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    def _run(self) -> None:
        gather = threading.Event()
        while not self._closed:
            self._wake.wait()
            self._wake.clear()
            gather.wait(GATHER_S)
            self.flush()

    def _write(self, marks: list[tuple[str, datetime]]) -> None:
        try:
            with self._database.write() as uow:
                uow.tasks.mark_all_sent(marks)
        except Unavailable as error:
            LOG.warning("%d tasks were sent but not marked: %s", len(marks), error)
