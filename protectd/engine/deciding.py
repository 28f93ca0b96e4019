"""One trigger that is due: every time that was expected of it gets its outcome, and what is to run is begun.

All of it in one unit of work: it is done whole, or not at all, and by one engine.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from itertools import islice, takewhile

from protectd.common.errors import ProtectdError, Unavailable
from protectd.common.ids import new_id
from protectd.domain.occurrences import FAILED, SKIPPED, WAITING, Time, Verdict, begun, judge
from protectd.domain.scheduled_runs import Made, NotNow, Runs
from protectd.domain.schedules import MAX_MISFIRES, RUN_ALL, Schedule, ScheduleLimits, schedule_of
from protectd.domain.triggers import EVENT, expect
from protectd.model.models import Occurrence, ScheduledOperation, Trigger
from protectd.model.unit_of_work import UnitOfWork
from protectd.queue.contract import TaskRef

LOG = logging.getLogger(__name__)

BATCH = 500
"""Times of one trigger, or events, that one unit of work sees to. After a long outage there may be more."""

GONE = "it was disabled or deleted meanwhile"


class Deciding:
    def __init__(self, runs: Runs, limits: ScheduleLimits, batch: int = BATCH) -> None:
        self._runs = runs
        self._limits = limits
        self._batch = batch

    def decide(self, uow: UnitOfWork, trigger: Trigger, now: datetime) -> list[TaskRef]:
        """See to a trigger that is due and locked.

        :returns: tasks to be announced after the commit.
        :raises Unavailable: roll back and try again.
        """
        see_to = self._events if trigger.type == EVENT else self._times
        refs = see_to(uow, trigger, now)
        uow.triggers.touch_not(trigger)
        return refs

    # --- times ---

    def _times(self, uow: UnitOfWork, trigger: Trigger, now: datetime) -> list[TaskRef]:
        schedule = schedule_of(trigger.properties, self._limits)
        times = self._due(trigger, schedule, now)
        whole = len(times) < self._batch + MAX_MISFIRES
        verdicts = judge(times, schedule, now)[: None if whole else self._batch]
        refs = [
            ref
            for operation in uow.scheduled_operations.enabled_of(trigger.id)
            for ref in self._settle_all(uow, operation, schedule, verdicts, now)
        ]
        last = times[-1].expected if times else trigger.expected_at or now
        expect(trigger, schedule, schedule.next_after(last) if whole else times[self._batch].expected)
        return refs

    def _due(self, trigger: Trigger, schedule: Schedule, now: datetime) -> list[Time]:
        """What has become due since the last look, in order; not all of it when it is very much."""
        expected = schedule.since(trigger.expected_at or now)
        times = (Time(at, schedule.due(trigger.id, at)) for at in expected)
        return list(islice(takewhile(lambda time: time.due <= now, times), self._batch + MAX_MISFIRES))

    def _settle_all(
        self,
        uow: UnitOfWork,
        operation: ScheduledOperation,
        schedule: Schedule,
        verdicts: Sequence[Verdict],
        now: datetime,
    ) -> list[TaskRef]:
        """What was to be before the operation was enabled was not expected of it."""
        mine = [verdict for verdict in verdicts if verdict.time.expected >= operation.enabled_at]
        known = uow.occurrences.keys_of(operation.id, [_key(verdict) for verdict in mine])
        refs: list[TaskRef] = []
        for verdict in mine:
            if _key(verdict) in known:
                continue
            row = _row(operation, _key(verdict), verdict.time.expected)
            row.outcome, row.reason, row.decided_at = verdict.outcome, verdict.reason, now
            if verdict.runs:
                among_others = bool(refs) and schedule.misfire == RUN_ALL
                refs += self._run(uow, operation, row, beside=among_others)
            uow.session.add(row)
        return refs

    # --- events ---

    def _events(self, uow: UnitOfWork, trigger: Trigger, now: datetime) -> list[TaskRef]:
        operations = {each.id: each for each in uow.scheduled_operations.ever_of(trigger.id)}
        waiting = uow.occurrences.with_outcome(list(operations), WAITING, self._batch)
        refs: list[TaskRef] = []
        for row in waiting:
            operation = operations[row.scheduled_operation_id]
            row.outcome, row.decided_at = begun(row.expected_at, now), now
            if operation.enabled and not operation.deleted:
                refs += self._run(uow, operation, row)
            else:
                row.outcome, row.reason = SKIPPED, GONE
        trigger.next_at = now if len(waiting) == self._batch else None
        return refs

    # --- both ---

    def _run(
        self, uow: UnitOfWork, operation: ScheduledOperation, row: Occurrence, *, beside: bool = False
    ) -> Sequence[TaskRef]:
        """What cannot be done is told in its row, and hinders nothing else.

        :param beside: it does not matter whether its former run goes on.
        """
        try:
            with uow.session.begin_nested():
                made = self._begin(uow, operation, beside)
        except Unavailable:
            raise
        except ProtectdError as error:
            row.outcome = SKIPPED if isinstance(error, NotNow) else FAILED
            row.reason = f"{error.code}: {error}"
            LOG.warning("scheduled operation %s is %s: %s", operation.id, row.outcome, row.reason)
            return ()
        row.entity_type, row.entity_id = made.entity_type, made.entity_id
        LOG.info("scheduled operation %s: %s %s", operation.id, made.entity_type, made.entity_id)
        return made.tasks

    def _begin(self, uow: UnitOfWork, operation: ScheduledOperation, beside: bool) -> Made:
        if not beside:
            self._runs.check_free(uow, operation)
        return self._runs.begin(uow, operation)


def _key(verdict: Verdict) -> str:
    return verdict.time.expected.isoformat()


def _row(operation: ScheduledOperation, key: str, expected: datetime) -> Occurrence:
    return Occurrence(
        id=new_id(),
        project_id=operation.project_id,
        scheduled_operation_id=operation.id,
        trigger_id=operation.trigger_id,
        key=key,
        expected_at=expected,
    )
