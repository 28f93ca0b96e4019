"""The time of the database: one clock for every process, whatever each host's own clock says."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from protectd.common.clock import Clock
from protectd.model.base import MYSQL_FAMILY

_NOW = {
    "postgresql": "SELECT clock_timestamp() AT TIME ZONE 'UTC'",
    **dict.fromkeys(MYSQL_FAMILY, "SELECT UTC_TIMESTAMP(6)"),
}


class DatabaseClock:
    """Counts on from the last time that the database has told, by the monotonic clock of this process: a step
    of the host's clock changes nothing. Until `learn` was called it is the host's clock.

    Where the database is a file on this host, `learn` does nothing.
    """

    def __init__(self, own: Clock) -> None:
        self._own = own
        self._lock = threading.Lock()
        self._basis: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        with self._lock:
            basis = self._basis
        if basis is None:
            return self._own.now()
        moment, measured_s = basis
        return moment + timedelta(seconds=self._own.monotonic() - measured_s)

    def monotonic(self) -> float:
        return self._own.monotonic()

    def sleep(self, seconds: float) -> None:
        self._own.sleep(seconds)

    def learn(self, session: Session) -> None:
        """Ask the database for its time. Half of the way there and back is taken for one way."""
        query = _NOW.get(session.get_bind().dialect.name)
        if query is None:
            return
        session.connection()
        asked_s = self._own.monotonic()
        told: datetime = session.execute(text(query)).scalar_one()
        answered_s = self._own.monotonic()
        with self._lock:
            self._basis = told.replace(tzinfo=UTC), (asked_s + answered_s) / 2
