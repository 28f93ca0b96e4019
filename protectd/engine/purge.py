"""Removing for good what was over long ago, and what has expired, a little a round."""

from __future__ import annotations

import logging
from datetime import timedelta

from protectd.common.clock import Clock
from protectd.domain.purge import BATCH, Purge
from protectd.model.repositories.idempotency_keys import KEPT
from protectd.model.unit_of_work import Database

LOG = logging.getLogger(__name__)

REST_S = 3600.0
"""Between two walks through the tables."""


class Purger:
    """Any number may run: what one has removed another does not find.

    :param after_days: what was over for longer than that goes.
    """

    def __init__(self, database: Database, clock: Clock, after_days: int, batch: int = BATCH) -> None:
        self._database = database
        self._clock = clock
        self._after = timedelta(days=after_days)
        self._batch = batch
        self._walk: Purge | None = None
        self._next_s = clock.monotonic()

    def run_once(self) -> None:
        """One batch, so that nothing else of the engine waits for it."""
        if self._walk is None:
            if self._clock.monotonic() < self._next_s:
                return
            self._walk = Purge(self._database, self._clock.now() - self._after, self._batch)
        self._walk.step()
        if self._walk.ended:
            self._end(self._walk)

    def _end(self, walk: Purge) -> None:
        removed = sum(walk.counts.values())
        if removed:
            LOG.info("%d rows were over for %d days and are removed", removed, self._after.days)
        self._walk, self._next_s = None, self._clock.monotonic() + REST_S


class ExpiredKeys:
    """Keys of requests that count as never used: they go whatever is kept of the rest."""

    def __init__(self, database: Database, clock: Clock, batch: int = BATCH) -> None:
        self._database = database
        self._clock = clock
        self._batch = batch

    def run_once(self) -> int:
        """:returns: how many were removed; looks for them in one indexed query."""
        before = self._clock.now() - KEPT
        with self._database.write() as uow:
            return uow.idempotency_keys.purge(before, self._batch)
