"""Firing the triggers that are due.

Any number of engines may do it: a trigger is locked while one sees to it, and not due any more after that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from protectd.common.clock import Clock
from protectd.common.errors import Unavailable
from protectd.engine.deciding import Deciding
from protectd.model.unit_of_work import Database, UnitOfWork
from protectd.queue.contract import TaskRef

LOG = logging.getLogger(__name__)

PUT_OFF_S = 60.0
"""After a trigger that could not be seen to, so that it does not keep others waiting."""

Announce = Callable[[Sequence[TaskRef]], object]


@dataclass(frozen=True, slots=True)
class FiringOptions:
    """
    :ivar poll_interval_s: longest time between two looks.
    :ivar batch: triggers that one look fires at most.
    :ivar threads: triggers that are seen to at the same time.
    """

    poll_interval_s: float = 1.0
    batch: int = 200
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
    ) -> None:
        self._database = database
        self._clock = clock
        self._deciding = deciding
        self._announce = announce
        self._name = (host, binary)
        self._options = options
        self._put_off: dict[str, float] = {}
        self._pool = ThreadPoolExecutor(options.threads, thread_name_prefix="firing")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def run_once(self) -> float:
        """Fire what is due, the longest due first.

        :returns: seconds until the next look.
        """
        poll_s, now = self._options.poll_interval_s, self._clock.now()
        with self._database.read() as uow:
            if self._is_disabled(uow):
                return poll_s
            limit = self._options.batch + len(self._still_put_off())
            agenda = uow.triggers.agenda(now + timedelta(seconds=poll_s), limit)
        due = [id for id, at in agenda if at <= now and id not in self._put_off]
        self._fire_all(due)
        if len(agenda) == limit:
            return 0.0
        later = [(at - self._clock.now()).total_seconds() for _, at in agenda if at > now]
        return max(0.0, min([poll_s, *later]))

    def _fire_all(self, trigger_ids: Sequence[str]) -> None:
        """One that fails is put off; the others are fired nevertheless."""
        begun = [(id, self._pool.submit(self.fire, id)) for id in trigger_ids]
        for id, future in begun:
            if _failed(id, future):
                self._put_off[id] = self._clock.monotonic() + PUT_OFF_S

    def fire(self, trigger_id: str) -> int:
        """See to one trigger, unless another engine does.

        :returns: how many tasks were made.
        """
        now = self._clock.now()
        with self._database.write() as uow:
            trigger = uow.triggers.take_due(trigger_id, now)
            refs = [] if trigger is None else self._deciding.decide(uow, [trigger], now).tasks
        if refs:
            self._announce(refs)
        return len(refs)

    def _is_disabled(self, uow: UnitOfWork) -> bool:
        service = uow.services.by_name(*self._name)
        return service is not None and service.disabled

    def _still_put_off(self) -> dict[str, float]:
        now_s = self._clock.monotonic()
        self._put_off = {id: until_s for id, until_s in self._put_off.items() if until_s > now_s}
        return self._put_off


def _failed(trigger_id: str, future: Future[int]) -> bool:
    """What is only away for now is tried again with the next look."""
    error = future.exception()
    if isinstance(error, Unavailable):
        LOG.warning("trigger %s is tried again: %s", trigger_id, error)
    elif error is not None:
        LOG.error("trigger %s could not be seen to", trigger_id, exc_info=error)
        return True
    return False
