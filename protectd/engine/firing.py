"""Firing the triggers that are due.

Any number of engines may do it: a trigger is locked while one sees to it, and not due any more after that.
Triggers of one project wait for each other anyway, at the project's quotas: some of them share a unit of
work, and different projects are seen to side by side.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from protectd.common.clock import Clock
from protectd.common.errors import Unavailable
from protectd.common.metrics import Metrics
from protectd.domain.occurrences import COALESCED, MISSED
from protectd.engine.deciding import Deciding, Due
from protectd.model.repositories.triggers import Entry
from protectd.model.unit_of_work import Database, UnitOfWork
from protectd.queue.contract import TaskRef

LOG = logging.getLogger(__name__)

PUT_OFF_S = 60.0
"""After a trigger that could not be seen to, so that it does not keep others waiting."""

AHEAD = 10
"""Times `batch`: among so many triggers that are due each project gets its share of a look."""

Announce = Callable[[Sequence[TaskRef]], object]


@dataclass(frozen=True, slots=True)
class FiringOptions:
    """
    :ivar poll_interval_s: longest time between two looks.
    :ivar batch: triggers that one look fires at most.
    :ivar together: of one project, that share a unit of work. What a project has in use is locked meanwhile.
    :ivar threads: projects that are seen to at the same time.
    """

    poll_interval_s: float = 1.0
    batch: int = 200
    together: int = 20
    threads: int = 4


class Firing:
    """:param announce: tells of tasks that are committed; it does not fail for a broker that is away.
    :param host: with `binary`, the service that an operator may disable: it fires nothing then.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        deciding: Deciding,
        announce: Announce,
        *,
        host: str,
        binary: str,
        options: FiringOptions = FiringOptions(),
        metrics: Metrics | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._deciding = deciding
        self._announce = announce
        self._name = (host, binary)
        self._options = options
        self._metrics = metrics or Metrics()
        self._put_off: dict[str, float] = {}
        self._pool = ThreadPoolExecutor(options.threads, thread_name_prefix="firing")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def run_once(self) -> float:
        """Fire what is due, the longest due first, and of each project as much as of any other.

        :returns: seconds until the next look.
        """
        poll_s, now = self._options.poll_interval_s, self._clock.now()
        with self._database.read() as uow:
            if self._is_disabled(uow):
                return poll_s
            limit = AHEAD * self._options.batch + len(self._still_put_off())
            agenda = uow.triggers.agenda(now + timedelta(seconds=poll_s), limit)
        due = [entry for entry in agenda if entry.at <= now and entry.id not in self._put_off]
        self._fire_all(_fairly(due)[: self._options.batch])
        if len(due) > self._options.batch or len(agenda) == limit:
            return 0.0
        later = [(entry.at - self._clock.now()).total_seconds() for entry in agenda if entry.at > now]
        return max(0.0, min([poll_s, *later]))

    def _fire_all(self, due: Sequence[Entry]) -> None:
        """One that fails is put off; the others are fired nevertheless."""
        of_projects: dict[str, list[str]] = defaultdict(list)
        for entry in due:
            of_projects[entry.project_id].append(entry.id)
        begun = [(ids, self._pool.submit(self._fire_some, ids)) for ids in of_projects.values()]
        failed = [id for ids, future in begun if _failed(ids, future) for id in ids]
        for id, future in [(id, self._pool.submit(self._fire_some, [id])) for id in failed]:
            if _failed([id], future):
                self._put_off[id] = self._clock.monotonic() + PUT_OFF_S

    def _fire_some(self, trigger_ids: Sequence[str]) -> None:
        for first in range(0, len(trigger_ids), self._options.together):
            left = trigger_ids[first : first + self._options.together]
            while left:
                left = self.fire(left)

    def fire(self, trigger_ids: Sequence[str]) -> Sequence[str]:
        """See to some triggers of one project, but those that another engine sees to, in one unit of work.

        :returns: those that were too much for it.
        """
        self._deciding.look_ahead(self._database, trigger_ids)
        now = self._clock.now()
        with self._database.write() as uow:
            triggers = uow.triggers.take_due(trigger_ids, now)
            decision = self._deciding.decide(uow, triggers, now)
        if decision.tasks:
            self._announce(decision.tasks)
        for due in decision.decided:
            self._metrics.occurrence_decided(due.row.outcome, self._late_s(due))
        return [trigger.id for trigger in triggers[decision.triggers :]]

    def _late_s(self, due: Due) -> float | None:
        passed_over = due.row.outcome in (COALESCED, MISSED)
        return None if passed_over else (self._clock.now() - due.at).total_seconds()

    def _is_disabled(self, uow: UnitOfWork) -> bool:
        service = uow.services.by_name(*self._name)
        return service is not None and service.disabled

    def _still_put_off(self) -> dict[str, float]:
        now_s = self._clock.monotonic()
        self._put_off = {id: until_s for id, until_s in self._put_off.items() if until_s > now_s}
        return self._put_off


def _fairly(due: Sequence[Entry]) -> list[Entry]:
    """The first of each project before the second of any."""
    places: dict[str, int] = defaultdict(int)

    def place(entry: Entry) -> int:
        places[entry.project_id] += 1
        return places[entry.project_id]

    return [entry for _, entry in sorted(((place(entry), entry) for entry in due), key=lambda pair: pair[0])]


def _failed(trigger_ids: Sequence[str], future: Future[None]) -> bool:
    """What is only away for now is tried again with the next look."""
    error, what = future.exception(), " ".join(trigger_ids)
    if isinstance(error, Unavailable):
        LOG.warning("triggers are tried again: %s: %s", what, error)
    elif error is not None:
        LOG.error("triggers could not be seen to: %s", what, exc_info=error)
        return True
    return False
