"""A year of schedules on an injected clock, across both changes of five zones: each expected time has a row.

What is expected is told by dateutil, its zones and its rules; which engines live is told by a seed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dateutil import rrule, tz
from sqlalchemy import select

from protectd.common.context import RequestContext
from protectd.common.ids import new_id
from protectd.domain.scheduled_runs import Made, Ready
from protectd.domain.schedules import ScheduleLimits
from protectd.domain.triggers import create
from protectd.engine.deciding import Deciding
from protectd.engine.firing import Firing, FiringOptions
from protectd.model.models import Occurrence, ScheduledOperation
from protectd.model.unit_of_work import Database, UnitOfWork
from tests.fakes.clock import ManualClock

pytest_plugins = ["tests.fakes.databases"]

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2027, 1, 1, tzinfo=UTC)
LIMITS = ScheduleLimits()
ZONES = ("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "Pacific/Chatham")

CRON = {"format": "crontab", "pattern": "30 2 * * *"}
WEEKLY = {
    "format": "calendar",
    "pattern": "BEGIN:VEVENT\\nRRULE:FREQ=WEEKLY;BYDAY=SU;BYHOUR=1;BYMINUTE=45;\\nEND:VEVENT",
}
OPEN = {"format": "crontab", "pattern": "15 */6 * * *"}
POLICIES: tuple[dict[str, Any], ...] = (
    {"misfire": "skip", "window": 3600},
    {"misfire": "run_once"},
    {"misfire": "run_all", "misfire_limit": 2, "jitter": 1800},
)


class Diary:
    """Runs that do nothing but are counted."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()

    def look_ahead(self, database: Database, trigger_ids: Sequence[str]) -> None:
        """Nobody else has to be asked."""

    def prepare(self, uow: UnitOfWork, operations: Sequence[ScheduledOperation]) -> dict[str, Ready]:
        context = RequestContext("req-diary", "p", "u", ())
        return {each.id: Ready(each, context, lambda submission: (None, None)) for each in operations}

    def begin(self, uow: UnitOfWork, ready: Ready) -> Made:
        self.begun[ready.operation.id] += 1
        return Made("entry", new_id(), ())


def oracle(properties: dict[str, Any], zone: str) -> set[datetime]:
    """What is expected within the year, found without anything that the service is made of."""
    local = tz.gettz(zone)
    if properties is OPEN:
        hours = (BEGIN + timedelta(minutes=15 * n) for n in range(366 * 96))
        shown = ((at, at.astimezone(local)) for at in hours)
        return {at for at, seen in shown if at < END and (seen.hour % 6, seen.minute) == (0, 15)}
    start = datetime(2025, 12, 28)
    daily = rrule.rrule(rrule.DAILY, start, byhour=2, byminute=30, bysecond=0, until=datetime(2027, 1, 3))
    weekly = rrule.rrule(
        rrule.WEEKLY, start, byweekday=rrule.SU, byhour=1, byminute=45, bysecond=0, until=datetime(2027, 1, 3)
    )
    moments = (
        tz.resolve_imaginary(at.replace(tzinfo=local)).astimezone(UTC)
        for at in (daily if properties is CRON else weekly)
    )
    return {at for at in moments if BEGIN < at < END}


def schedule(database: Database, properties: dict[str, Any], zone: str, policy: dict[str, Any]) -> str:
    """A trigger and an operation on it. :returns: the operation's id."""
    with database.write() as uow:
        given = {**properties, **policy, "time_zone": zone, "start_time": "2026-01-01 00:00:00"}
        wanted = {"name": "t", "type": "time", "properties": given}
        trigger = create(uow, "p", wanted, BEGIN, LIMITS, "trigger_info")
        operation = ScheduledOperation(
            id=new_id(),
            name="o",
            operation_type="protect",
            project_id="p",
            user_id="u",
            roles=[],
            trigger_id=trigger.id,
            operation_definition={},
            enabled_at=BEGIN,
        )
        return uow.scheduled_operations.add(operation).id


@pytest.mark.parametrize("zone", ZONES)
def test_each_expected_time_of_a_year_has_one_row_whatever_engines_do(
    chosen_database: Database, zone: str
) -> None:
    dice, clock, diary = random.Random(zone), ManualClock(BEGIN), Diary()
    wanted = {
        schedule(chosen_database, properties, zone, policy): (properties, policy)
        for properties, policy in (
            (CRON, POLICIES[0]),
            (WEEKLY, POLICIES[1]),
            (OPEN, POLICIES[2]),
            (CRON, POLICIES[1]),
        )
    }
    engines = [engine(chosen_database, clock, diary, f"e{number}") for number in range(3)]
    with ThreadPoolExecutor(3) as pool:
        while clock.now() < END:
            alive = dice.sample(engines, dice.choice([1, 1, 2, 3]))
            if dice.random() < 0.02:
                clock.advance(dice.uniform(0, 3 * 86400))  # none of them lives
            waits_s = list(pool.map(lambda each: each.run_once(), alive))
            clock.advance(max(0.001, min(waits_s)))
    clock.advance(1800)
    engines[0].run_once()
    for operation_id, (properties, policy) in wanted.items():
        compare(chosen_database, operation_id, oracle(properties, zone), policy, diary)


def engine(database: Database, clock: ManualClock, diary: Diary, name: str) -> Firing:
    return Firing(
        database,
        clock,
        Deciding(diary, LIMITS),  # type: ignore[arg-type]
        lambda refs: None,
        host=name,
        binary="protectd-engine",
        options=FiringOptions(poll_interval_s=86400.0, threads=1),
    )


def compare(
    database: Database, operation_id: str, expected: set[datetime], policy: dict[str, Any], diary: Diary
) -> None:
    with database.read() as uow:
        query = select(Occurrence).where(Occurrence.scheduled_operation_id == operation_id)
        rows = [row for row in uow.session.scalars(query) if row.expected_at < END]
        after = [row for row in uow.session.scalars(query) if row.expected_at >= END]
    assert len(rows) == len({row.expected_at for row in rows})
    assert {row.expected_at for row in rows} == expected
    outcomes = Counter(row.outcome for row in rows)
    assert outcomes["skipped"] == outcomes["failed"] == 0
    ran = sum(row.outcome in ("ran", "late") for row in [*rows, *after])
    assert ran == diary.begun[operation_id] > len(expected) * 0.4
    if policy["misfire"] == "run_once":
        assert outcomes["missed"] == 0
    if policy["misfire"] == "run_all":
        assert outcomes["coalesced"] == 0
    if policy["misfire"] == "skip" and len(expected) > 300:
        assert outcomes["missed"] > 0
