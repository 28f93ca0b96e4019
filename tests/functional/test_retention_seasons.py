"""A schedule with retention, day by day across a change of clocks, by real engines and tasks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from protectd.queue.contract import context_to_message
from protectd.queue.server import Tasks
from protectd.tasks.retain import RetainCheckpoints
from tests.fakes.schedule_scene import START, Scene, scene

BERLIN = ZoneInfo("Europe/Berlin")
DAYS = 75
RULES = {"keep_daily": 5, "keep_weekly": "4", "keep_monthly": 12}


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path, handler="noop") as made:
        yield made


def do_all(at: Scene, tasks: Tasks) -> None:
    """What engines have announced; one that is at work goes on with what follows."""
    for ref in at.announced:
        getattr(tasks, ref.method)(context_to_message(ref.context), ref.task_id)
    at.announced.clear()


def expected(runs: list[date]) -> set[date]:
    """By hand: the last of each of the last days, weeks, months."""
    kept: set[date] = set()
    for count, name in ((5, "%j"), (4, "%G-%V"), (12, "%m")):
        last = {f"{run:{name}}": run for run in runs}
        kept |= set(sorted(last.values())[-count:])
    return kept


def test_every_day_of_a_season_the_right_ones_are_there(at: Scene) -> None:
    plan = at.plan()
    trigger = at.trigger("30 23 * * *", time_zone="Europe/Berlin")
    operation = at.operation(trigger, plan, "retention_protect", **RULES)
    env, engine = at.service.parts.env, at.engine()
    tasks = Tasks({**at.service.parts.operations, "retain": partial(RetainCheckpoints, env)})
    env.operations = {**env.operations, "retain": partial(RetainCheckpoints, env)}
    runs: list[date] = []
    for days in range(DAYS):
        day = (START + timedelta(days=days)).date()
        at.to(datetime.combine(day, time(23, 30), BERLIN).astimezone(UTC))
        engine.run_once()
        do_all(at, tasks)
        runs.append(day)
        assert there(at, plan) == expected(runs), day
    assert len(runs) == DAYS and len(there(at, plan)) < 15
    quota = at.client.get(f"quotas/{at.client.project_id}/detail")["quota"]
    assert quota["checkpoints"]["in_use"] == len(there(at, plan))
    assert quota["operations"]["in_use"] == 0
    assert {outcome for _, outcome in at.outcomes(operation)} == {"ran"}


def there(at: Scene, plan: dict[str, str]) -> set[date]:
    with at.service.parts.database.read() as uow:
        found = uow.checkpoints.in_status(plan["id"], ("available",))
        return {row.started_at.astimezone(BERLIN).date() for row in found if row.started_at}
