"""Announcing the tasks that nobody has heard of."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from protectd.common.clock import Clock
from protectd.common.metrics import Metrics
from protectd.domain.submission import reference
from protectd.model.unit_of_work import Database
from protectd.queue.contract import TaskRef
from protectd.queue.dispatcher import Dispatcher

LOG = logging.getLogger(__name__)

BATCH = 1000
"""More than all tasks of a host whose worker is away: they must not hide the others."""


class Relay:
    """Sends what a request could not send, what is due again, and what was sent but not taken.

    Any number may run: a task that is announced twice runs once.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        dispatcher: Dispatcher,
        resend_grace_s: float = 60.0,
        metrics: Metrics | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._dispatcher = dispatcher
        self._resend_grace_s = resend_grace_s
        self._metrics = metrics or Metrics()

    def run_once(self) -> int:
        """While the broker is away, one task is tried: to take all that wait, for nothing, costs the database
        more than the requests that still come.

        :returns: how many tasks were announced, or tried to be.
        """
        tried = 0
        if self._dispatcher.is_cut:
            tried = self._send(self._resend_grace_s, young_s=1.0, limit=1)
            if not tried or self._dispatcher.is_cut:
                return tried
        return tried + self._send(self._resend_grace_s, young_s=1.0)

    def resend_all(self) -> int:
        """At the start of a process that carries its messages within: whatever was sent before is lost."""
        return self._send(0.0, young_s=0.0)

    def _send(self, grace_s: float, young_s: float, limit: int = BATCH) -> int:
        now = self._clock.now()
        with self._database.write() as uow:
            tasks = uow.tasks.take_unsent(now, grace_s, limit, young_s=young_s)
            refs = [reference(task) for task in tasks]
        if refs:
            LOG.info("%d tasks are announced again", len(refs))
            self._metrics.tasks_resent(len(refs))
            self._give_back(self._dispatcher.announce(refs), now)
        return len(refs)

    def _give_back(self, missed: Sequence[TaskRef], now: datetime) -> None:
        if missed:
            with self._database.write() as uow:
                uow.tasks.unsend([ref.task_id for ref in missed], now)
