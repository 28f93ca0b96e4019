"""Triggers that are due: every time that was expected of them gets its outcome, and what is to run is begun.

All of it in one unit of work: it is done whole, or not at all, and by one engine.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice, takewhile

from protectd.common.errors import ProtectdError, Unavailable
from protectd.common.ids import new_id
from protectd.domain.occurrences import FAILED, SKIPPED, WAITING, Time, Verdict, begun, judge
from protectd.domain.scheduled_runs import NotNow, Ready, Runs
from protectd.domain.schedules import MAX_MISFIRES, Schedule, ScheduleLimits, schedule_of
from protectd.domain.triggers import EVENT, expect
from protectd.model.models import Occurrence, ScheduledOperation, Trigger
from protectd.model.unit_of_work import Database, UnitOfWork
from protectd.queue.contract import TaskRef

LOG = logging.getLogger(__name__)

BATCH = 500
"""Times of one trigger, or events, that one unit of work sees to. After a long outage there may be more."""

GONE = "it was disabled or deleted meanwhile"


@dataclass(frozen=True, slots=True)
class Due:
    """One time, or event, of one operation.

    :ivar at: when it was to fire.
    :ivar runs: it is to be begun; its row says what comes of that. Else the row says why not.
    """

    row: Occurrence
    at: datetime
    runs: bool


@dataclass(slots=True)
class Decision:
    """
    :ivar tasks: to be announced after the commit.
    :ivar decided: what has its outcome from the commit on.
    :ivar triggers: so many of those that were given, the first ones, were seen to.
    """

    tasks: list[TaskRef] = field(default_factory=list)
    decided: list[Due] = field(default_factory=list)
    triggers: int = 0


@dataclass(frozen=True, slots=True)
class _Job:
    """What a trigger wants of one operation.

    :ivar beside: runs that follow one another do not wait for the end of the former.
    """

    operation: ScheduledOperation
    due: Sequence[Due]
    beside: bool

    @property
    def runs(self) -> bool:
        return any(due.runs for due in self.due)


@dataclass(frozen=True, slots=True)
class _Look:
    """What a trigger of times says now. Of one of events, nothing is known yet.

    :ivar following: when something is expected of it next; None: never again.
    """

    trigger: Trigger
    schedule: Schedule | None = None
    verdicts: Sequence[Verdict] = ()
    following: datetime | None = None


class Deciding:
    def __init__(self, runs: Runs, limits: ScheduleLimits, batch: int = BATCH) -> None:
        self._runs = runs
        self._limits = limits
        self._batch = batch

    def look_ahead(self, database: Database, trigger_ids: Sequence[str]) -> None:
        """What takes other servers, before a unit of work begins.

        :raises Unavailable: one is away; try again.
        """
        self._runs.look_ahead(database, trigger_ids)

    def decide(self, uow: UnitOfWork, triggers: Sequence[Trigger], now: datetime) -> Decision:
        """See to triggers that are due and locked: one at least, and others while it is not too much for one
        unit of work.

        :raises Unavailable: roll back and try again.
        """
        made = Decision()
        jobs = list(self._jobs(uow, self._looks(triggers, now), now, made))
        ready = self._runs.prepare(uow, [job.operation for job in jobs if job.runs])
        for job in jobs:
            if job.runs:
                made.tasks += self._do(uow, job, ready[job.operation.id])
        uow.session.add_all(due.row for due in made.decided)
        return made

    def _jobs(self, uow: UnitOfWork, looks: Sequence[_Look], now: datetime, made: Decision) -> Iterator[_Job]:
        """What is to be done. Its triggers are moved on."""
        enabled = uow.scheduled_operations.enabled_of(*(look.trigger.id for look in looks if look.schedule))
        keys = {_key(verdict) for look in looks for verdict in look.verdicts}
        known = uow.occurrences.known([each.id for each in enabled], keys)
        operations = _by_trigger(enabled)
        for look in looks:
            if len(made.decided) >= self._batch:
                return
            if look.schedule is None:
                jobs = self._events(uow, look.trigger, now)
            else:
                expect(look.trigger, look.schedule, look.following)
                jobs = [_timed(each, look, known[each.id], now) for each in operations[look.trigger.id]]
            uow.triggers.touch_not(look.trigger)
            made.triggers += 1
            made.decided += [due for job in jobs for due in job.due]
            yield from jobs

    # --- times ---

    def _looks(self, triggers: Sequence[Trigger], now: datetime) -> list[_Look]:
        """One at least, and others until they are enough."""
        looks: list[_Look] = []
        for trigger in triggers:
            if sum(len(look.verdicts) for look in looks) >= self._batch:
                break
            looks.append(_Look(trigger) if trigger.type == EVENT else self._times(trigger, now))
        return looks

    def _times(self, trigger: Trigger, now: datetime) -> _Look:
        schedule = schedule_of(trigger.properties, self._limits)
        times = self._due(trigger, schedule, now)
        verdicts = judge(times, schedule, now)
        if len(times) == self._batch + MAX_MISFIRES:
            return _Look(trigger, schedule, verdicts[: self._batch], times[self._batch].expected)
        last = times[-1].expected if times else trigger.expected_at or now
        return _Look(trigger, schedule, verdicts, schedule.next_after(last))

    def _due(self, trigger: Trigger, schedule: Schedule, now: datetime) -> list[Time]:
        """What has become due since the last look, in order; not all of it when it is very much."""
        expected = schedule.since(trigger.expected_at or now)
        times = (Time(at, schedule.due(trigger.id, at)) for at in expected)
        return list(islice(takewhile(lambda time: time.due <= now, times), self._batch + MAX_MISFIRES))

    # --- events ---

    def _events(self, uow: UnitOfWork, trigger: Trigger, now: datetime) -> list[_Job]:
        operations = {each.id: each for each in uow.scheduled_operations.ever_of(trigger.id)}
        waiting = uow.occurrences.with_outcome(list(operations), WAITING, self._batch)
        due: dict[str, list[Due]] = defaultdict(list)
        for row in waiting:
            operation = operations[row.scheduled_operation_id]
            runs = operation.enabled and not operation.deleted
            row.outcome, row.decided_at = begun(row.expected_at, now) if runs else SKIPPED, now
            row.reason = None if runs else GONE
            due[operation.id].append(Due(row, row.expected_at, runs))
        trigger.next_at = now if len(waiting) == self._batch else None
        return [_Job(operations[id], rows, beside=False) for id, rows in due.items()]

    # --- both ---

    def _do(self, uow: UnitOfWork, job: _Job, ready: Ready | ProtectdError) -> list[TaskRef]:
        """What cannot be done is told in its row, and hinders nothing else."""
        refs: list[TaskRef] = []
        for number, due in enumerate(each for each in job.due if each.runs):
            if isinstance(ready, ProtectdError):
                _refuse(due, ready)
            else:
                refs += self._run(uow, ready, due, is_free=job.beside or number == 0)
        return refs

    def _run(self, uow: UnitOfWork, ready: Ready, due: Due, *, is_free: bool) -> Sequence[TaskRef]:
        """:param is_free: a former run of the operation is over, or does not matter."""
        try:
            with uow.session.begin_nested():
                if not is_free:
                    self._runs.check_free(uow, ready.operation)
                made = self._runs.begin(uow, ready)
        except Unavailable:
            raise
        except ProtectdError as error:
            _refuse(due, error)
            return ()
        due.row.entity_type, due.row.entity_id = made.entity_type, made.entity_id
        LOG.info("scheduled operation %s: %s %s", ready.operation.id, made.entity_type, made.entity_id)
        return made.tasks


def _by_trigger(operations: Sequence[ScheduledOperation]) -> Mapping[str, list[ScheduledOperation]]:
    found: dict[str, list[ScheduledOperation]] = defaultdict(list)
    for operation in operations:
        found[operation.trigger_id].append(operation)
    return found


def _timed(operation: ScheduledOperation, look: _Look, known: Collection[str], now: datetime) -> _Job:
    """What was to be before the operation was enabled was not expected of it."""
    wanted = [
        Due(_row(operation, verdict, now), verdict.time.due, verdict.runs)
        for verdict in look.verdicts
        if verdict.time.expected >= operation.enabled_at and _key(verdict) not in known
    ]
    return _Job(operation, wanted, beside=True)


def _key(verdict: Verdict) -> str:
    return verdict.time.expected.isoformat()


def _row(operation: ScheduledOperation, verdict: Verdict, now: datetime) -> Occurrence:
    return Occurrence(
        id=new_id(),
        project_id=operation.project_id,
        scheduled_operation_id=operation.id,
        trigger_id=operation.trigger_id,
        key=_key(verdict),
        expected_at=verdict.time.expected,
        decided_at=now,
        outcome=verdict.outcome,
        reason=verdict.reason,
    )


def _refuse(due: Due, error: ProtectdError) -> None:
    row = due.row
    row.outcome = SKIPPED if isinstance(error, NotNow) else FAILED
    row.reason = f"{error.code}: {error}"
    LOG.warning("scheduled operation %s is %s: %s", row.scheduled_operation_id, row.outcome, row.reason)
