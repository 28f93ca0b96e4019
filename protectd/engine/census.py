"""Telling how many tasks and triggers wait, and for how long the first of them."""

from __future__ import annotations

from protectd.common.clock import Clock
from protectd.common.metrics import Metrics
from protectd.model.unit_of_work import Database


class Census:
    """Two queries a round, however often the metrics are asked for."""

    def __init__(self, database: Database, clock: Clock, metrics: Metrics) -> None:
        self._database = database
        self._clock = clock
        self._metrics = metrics

    def run_once(self) -> None:
        with self._database.read() as uow:
            backlog, agenda = uow.tasks.backlog(self._clock.now()), uow.triggers.due(self._clock.now())
        self._metrics.backlog(backlog)
        self._metrics.agenda(agenda)
