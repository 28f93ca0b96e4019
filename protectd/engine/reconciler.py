"""Bringing every operation to an end, whatever has become of whoever was at it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from protectd.common.clock import Clock
from protectd.common.errors import Cancelled
from protectd.common.metrics import Metrics
from protectd.model.models import Service, Task
from protectd.model.repositories.leases import Lease
from protectd.model.unit_of_work import Database
from protectd.tasks.base import BaseTask
from protectd.tasks.errors import DeadlinePassed, TaskLost

LOG = logging.getLogger(__name__)

BATCH = 100

Rule = Callable[[], int]


class Reconciler:
    """Rules, each of which finds tasks that nobody will move on and moves them on.

    One transaction a task, each a compare-and-swap on what was seen: any number may run, and a worker that
    renews at the last moment keeps its task.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        operations: Mapping[str, Callable[[], BaseTask[Any]]],
        lease_s: float = 60.0,
        service_down_s: float = 60.0,
        metrics: Metrics | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._operations = operations
        self._lease_s = lease_s
        self._watched: dict[Lease, float] = {}
        self._service_down = timedelta(seconds=service_down_s)
        self._silent: frozenset[str] = frozenset()
        self._metrics = metrics or Metrics()

    @property
    def rules(self) -> Sequence[Rule]:
        return (self.cancelled, self.overdue, self.lost, self.silent)

    def run_once(self) -> int:
        """:returns: how many tasks were made pending again, or ended."""
        return sum(rule() for rule in self.rules)

    def fence(self, owner_prefix: str, keep: str) -> int:
        """Void the leases of former boots of this process, which is known to be the only one of its name."""
        with self._database.write() as uow:
            return uow.tasks.fence_owner(owner_prefix, self._clock.now(), keep=keep)

    # --- the rules ---

    def lost(self) -> int:
        """A lease was not renewed for as long as it lasts: its task is handed over, or given up when it was
        begun as often as may be.

        How long is told by this process's own monotonic clock, from the first look at a lease as it is: no
        moment that another has written is compared with the time here.
        """
        with self._database.read() as uow:
            leases = uow.tasks.leases()
        gone = self._unchanged(leases)[:BATCH]
        if not gone:
            return 0
        with self._database.write() as uow:
            tasks = uow.tasks.held(gone)
        return sum(self._hand_over(task) for task in tasks)

    def _unchanged(self, leases: Sequence[Lease]) -> list[Lease]:
        """Those that were seen for a whole lease, and those whose holder is known to be dead."""
        now_s = self._clock.monotonic()
        self._watched = {lease: self._watched.get(lease, now_s) for lease in leases}
        return [
            lease
            for lease, since_s in self._watched.items()
            if lease.expires_at is None or now_s - since_s >= self._lease_s
        ]

    def cancelled(self) -> int:
        """A task waits that was asked to end."""
        with self._database.read() as uow:
            asked = uow.tasks.cancelled_waiting(self._clock.now(), BATCH)
        return sum(self._end(task, Cancelled()) for task in asked)

    def overdue(self) -> int:
        """A task waits whose deadline is over. One that runs is told by whoever keeps its lease."""
        with self._database.read() as uow:
            late = uow.tasks.overdue_waiting(self._clock.now(), BATCH)
        return sum(self._end(task, DeadlinePassed()) for task in late)

    def silent(self) -> int:
        """A service has ceased to report: an operator reads it here, the leases tell the rest."""
        with self._database.read() as uow:
            services = uow.services.all()
        before = self._clock.now() - self._service_down
        silent = frozenset(_name(each) for each in services if each.updated_at < before)
        for name in sorted(silent - self._silent):
            LOG.warning("%s has not reported for %d s", name, self._service_down.total_seconds())
        for name in sorted(self._silent - silent):
            LOG.info("%s reports again, or was removed", name)
        self._silent = silent
        return 0

    # --- what is done about it ---

    def _hand_over(self, task: Task) -> bool:
        if task.attempts >= task.max_attempts:
            return self._end(task, TaskLost(attempts=task.attempts))
        with self._database.write() as uow:
            released = uow.tasks.release_lost(task, self._clock.now())
        if released:
            self._metrics.task_handed_over(task.operation)
            LOG.warning("task %s: its worker %s was lost; it is handed over", task.id, task.lease_owner)
        return released

    def _end(self, task: Task, error: Cancelled | DeadlinePassed | TaskLost) -> bool:
        return self._operations[task.operation]().give_up_and_suppress_exceptions(task, error)


def _name(service: Service) -> str:
    return f"{service.binary} on {service.host}"
