"""How soon triggers fire: looks among 100,000 of them, and 1,000 fires within a minute.

`python -m tests.benchmarks.schedules [--triggers N] [--fires N] [KIND ...]`; kinds are sqlite, postgresql and
mariadb. Each fire makes a real checkpoint row and its task; nobody runs the task.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, update

from protectd.common.clock import SystemClock
from protectd.common.ids import new_id
from protectd.domain.schedules import ScheduleLimits, schedule_of
from protectd.engine.deciding import Deciding
from protectd.engine.firing import Firing, FiringOptions
from protectd.engine.service import PacedService
from protectd.model.models import Occurrence, ScheduledOperation, Token, Trigger
from tests.fakes.databases import KINDS, empty_database
from tests.fakes.service import Client, Service, running

LOOKS = 200
PROJECTS = 10


class Timed(Firing):
    """:ivar ended: when each trigger's unit of work was committed."""

    ended: dict[str, datetime]

    def fire(self, trigger_ids: Sequence[str]) -> Sequence[str]:
        left, now = super().fire(trigger_ids), self._clock.now()
        self.ended |= {id: now for id in trigger_ids if id not in left}
        return left


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--triggers", type=int, default=100_000)
    parser.add_argument("--fires", type=int, default=1000)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], default=list(KINDS))
    args = parser.parse_args(argv)
    for kind in args.kinds:
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            (directory / "database").mkdir()
            url = stack.enter_context(empty_database(kind, directory / "database"))
            service = stack.enter_context(running(directory, database=url))
            measure(kind, service, args.triggers, args.fires)


def measure(kind: str, service: Service, triggers: int, fires: int) -> None:
    engine = make_engine(service)
    fill(service, triggers)
    engine.run_once()
    looks = sorted(timed(engine.run_once) for _ in range(LOOKS))
    print(f"{kind}: a look among {triggers} triggers: {told(looks)}", flush=True)
    for spread_s in (55, 0):
        late = sorted(fire(service, fires, spread_s))
        how = f"within {spread_s} s" if spread_s else "in the same second"
        print(f"{kind}: {fires} fires {how}: late by {told(late)}", flush=True)


def told(values: Sequence[float]) -> str:
    p50, p99 = values[len(values) // 2], values[len(values) * 99 // 100]
    return f"p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms, at most {values[-1] * 1000:.1f} ms"


def timed(work: Callable[[], object]) -> float:
    begun_s = time.perf_counter()
    work()
    return time.perf_counter() - begun_s


def make_engine(service: Service) -> Timed:
    parts = service.parts
    engine = Timed(
        parts.database,
        SystemClock(),
        Deciding(parts.scheduled_runs, parts.schedule_limits),
        lambda refs: parts.dispatcher.dispatch(refs, wait_for_direct=False),
        host="h",
        binary="protectd-engine",
        options=FiringOptions(),
    )
    engine.ended = {}
    return engine


def fill(service: Service, count: int) -> None:
    """Triggers that are not due today."""
    now = SystemClock().now()
    for start in range(0, count, 5000):
        rows = [
            {
                "id": new_id(),
                "name": "t",
                "project_id": f"p{number % 997}",
                "type": "time",
                "properties": {"format": "crontab", "pattern": "0 0 * * *"},
                "expected_at": now + timedelta(days=1, seconds=number),
                "next_at": now + timedelta(days=1, seconds=number),
            }
            for number in range(start, min(start + 5000, count))
        ]
        with service.parts.database.write() as uow:
            uow.session.execute(insert(Trigger), rows)


def fire(service: Service, count: int, spread_s: int) -> list[float]:
    """Seconds from each expected time to the commit of what it has made."""
    clients = [service.client() for _ in range(PROJECTS)]
    ids = [hang(service, clients[number % PROJECTS], number) for number in range(count)]
    now = SystemClock().now()
    first = (now + timedelta(seconds=15)).replace(microsecond=0)
    moments = {id: first + timedelta(seconds=number * spread_s // count) for number, id in enumerate(ids)}
    with service.parts.database.write() as uow:
        rows = [
            {"id": id, "properties": once(at, now), "expected_at": at, "next_at": at}
            for id, at in moments.items()
        ]
        uow.session.execute(update(Trigger), rows)
    engine = make_engine(service)
    looking = PacedService(engine.run_once, 1.0, "firing")
    if SystemClock().now() > first:
        raise SystemExit("this machine is too slow to begin in time")
    looking.start()
    done = threading.Event()
    while len(engine.ended) < count and not done.wait(1.0):
        if SystemClock().now() > first + timedelta(minutes=4):
            raise SystemExit(f"{len(engine.ended)} of {count} have fired")
    looking.stop(10)
    with service.parts.database.read() as uow:
        found = uow.session.query(Occurrence.outcome).filter(Occurrence.trigger_id.in_(list(moments))).all()
    outcomes = Counter(outcome for (outcome,) in found)
    assert outcomes.keys() <= {"ran", "late"}, outcomes
    assert outcomes.total() == count, outcomes
    return [(ended - moments[id]).total_seconds() for id, ended in engine.ended.items()]


PLANS: dict[tuple[str, int], dict[str, str]] = {}


def once(at: datetime, now: datetime) -> dict[str, Any]:
    """Properties of a trigger that fires at a moment next."""
    pattern = f"{at:%M %H * * *} {at.second}"
    kept = {"format": "crontab", "pattern": pattern, "start_time": f"{now:%Y-%m-%d %H:%M:%S}"}
    assert schedule_of(kept, ScheduleLimits()).next_after(now) == at
    return kept


def hang(service: Service, client: Client, number: int) -> str:
    """A trigger with an operation that protects a plan. :returns: its id; it has no time yet."""
    key = (client.project_id, number % 7)
    if key not in PLANS:
        PLANS[key] = client.plan(service.allowed / "data")
    plan = PLANS[key]
    with service.parts.database.write() as uow:
        trigger = uow.triggers.add(
            Trigger(id=new_id(), name="t", project_id=client.project_id, type="time", properties={})
        )
        user_id = uow.session.scalar(select(Token.user_id).where(Token.project_id == client.project_id))
        uow.scheduled_operations.add(
            ScheduledOperation(
                id=new_id(),
                name="o",
                operation_type="protect",
                project_id=client.project_id,
                user_id=str(user_id),
                roles=["member"],
                trigger_id=trigger.id,
                operation_definition={},
                plan_id=plan["id"],
                provider_id=plan["provider_id"],
            )
        )
    return trigger.id


if __name__ == "__main__":
    main()
