"""Comparing what quotas say with what projects have, a few projects a round."""

from __future__ import annotations

import logging

from protectd.common.clock import Clock
from protectd.domain.balances import heal
from protectd.domain.quota import EXPIRING
from protectd.model.unit_of_work import Database

LOG = logging.getLogger(__name__)

BATCH = 20
DRIFT = "project %s: %d %s were said to be in use, %d are"
REST_S = 3600.0
"""Between two walks through the projects."""


class UsageAudit:
    """Any number may run: each figure is set under a lock, from rows that are counted under it."""

    def __init__(self, database: Database, clock: Clock, batch: int = BATCH) -> None:
        self._database = database
        self._clock = clock
        self._batch = batch
        self._after = ""
        self._next_s = clock.monotonic()

    def run_once(self) -> int:
        """:returns: how many projects were set right. Looks at a batch, so that nothing else waits for it."""
        if self._clock.monotonic() < self._next_s:
            return 0
        with self._database.read() as uow:
            projects = uow.balances.projects(self._after, self._batch)
        healed = sum(self._heal(project_id) for project_id in projects)
        self._after = projects[-1] if len(projects) == self._batch else ""
        if not self._after:
            self._next_s = self._clock.monotonic() + REST_S
        return healed

    def _heal(self, project_id: str) -> bool:
        found = heal(self._database, project_id, self._clock)
        for resource, (said, true) in found.items():
            level = logging.INFO if resource in EXPIRING and true < said else logging.WARNING
            LOG.log(level, DRIFT, project_id, said, resource, true)
        return bool(found)
