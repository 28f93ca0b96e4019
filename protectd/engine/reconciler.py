"""Handing over the tasks of workers that vanished."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from protectd.common.clock import Clock
from protectd.model.models import Task
from protectd.model.unit_of_work import Database
from protectd.tasks.base import BaseTask

LOG = logging.getLogger(__name__)

BATCH = 100


class Reconciler:
    """Every running task whose lease has run out is made pending again, or given up for good.

    One transaction a task, each a compare-and-swap on the lease that was seen: any number may run, and a
    worker that renews at the last moment keeps its task.
    """

    def __init__(
        self, database: Database, clock: Clock, operations: Mapping[str, Callable[[], BaseTask[Any]]]
    ) -> None:
        self._database = database
        self._clock = clock
        self._operations = operations

    def run_once(self) -> int:
        """:returns: how many tasks were made pending again or given up."""
        with self._database.read() as uow:
            expired = uow.tasks.expired(self._clock.now(), BATCH)
        return sum(self._settle(task) for task in expired)

    def fence(self, owner_prefix: str, keep: str) -> int:
        """Void the leases of former boots of this process, which is known to be the only one of its name."""
        with self._database.write() as uow:
            return uow.tasks.fence_owner(owner_prefix, self._clock.now(), keep=keep)

    def _settle(self, task: Task) -> bool:
        if task.attempts < task.max_attempts:
            return self._release(task)
        return self._operations[task.operation]().give_up_and_suppress_exceptions(task)

    def _release(self, task: Task) -> bool:
        with self._database.write() as uow:
            released = uow.tasks.release_expired(task, self._clock.now())
        if released:
            LOG.warning("task %s: its worker %s was lost; it is handed over", task.id, task.lease_owner)
        return released
