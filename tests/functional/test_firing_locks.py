"""Engines that fire, and requests beside them, never wait for one another in a circle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from webtest import TestApp

from protectd.model.errors import DatabaseContended
from protectd.model.unit_of_work import Database
from tests.fakes.schedule_scene import Scene, scene
from tests.fakes.service import Client, together

pytest_plugins = ["tests.fakes.databases"]

ROUNDS = 6
PLANS = 6


@pytest.fixture(params=["postgresql", "mariadb"])
def at(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path, database=request.getfixturevalue(request.param)) as made:
        yield made


@contextmanager
def deadlocks(database: Database) -> Iterator[list[str]]:
    """What the database has given up for the sake of another, within the block."""
    found: list[str] = []

    def note(context: Any) -> None:
        if isinstance(getattr(context, "chained_exception", None), DatabaseContended):
            found.append(str(context.statement))

    event.listen(database.engine, "handle_error", note)
    try:
        yield found
    finally:
        event.remove(database.engine, "handle_error", note)


def posting(at: Scene, plan: dict[str, Any]) -> Callable[[], object]:
    own = Client(TestApp(at.service.app.app), at.client.token, at.client.project_id)
    return lambda: own.checkpoint(plan)


def test_nobody_waits_in_a_circle(at: Scene) -> None:
    plans = [at.plan(f"p{number}") for number in range(PLANS)]
    for plan in plans:
        at.client.checkpoint(plan)
    at.end_tasks()
    with at.service.parts.database.write() as uow:
        for plan in plans:
            for checkpoint in uow.checkpoints.in_status(plan["id"], ("PENDING",)):
                checkpoint.status = "available"
    forth, back = at.trigger("*/10 * * * *"), at.trigger("*/10 * * * *")
    operations = [
        at.operation(trigger, plan, type)
        for trigger, ordered in ((forth, plans), (back, plans[::-1]))
        for number, plan in enumerate(ordered)
        for type in ("protect", "verify" if number % 2 else "copy")
    ]
    engines = [at.engine(f"e{number}", threads=2) for number in range(2)]
    with deadlocks(at.service.parts.database) as found, ThreadPoolExecutor(2 + PLANS) as pool:
        for _ in range(ROUNDS):
            at.on(minutes=10)
            asks = [engine.run_once for engine in engines] + [posting(at, plan) for plan in plans]
            for done in [pool.submit(ask) for ask in asks]:
                done.result()
            engines[0].run_once()
            at.end_tasks()
    assert found == []
    for operation in operations:
        assert {outcome for _, outcome in at.outcomes(operation)} == {"ran"}
        assert len(at.outcomes(operation)) == ROUNDS


def test_operations_that_change_places_do_not_wait_in_a_circle(at: Scene) -> None:
    plan, triggers = at.plan(), [at.trigger(), at.trigger()]
    operations = [at.operation(trigger, plan) for trigger in triggers]
    with deadlocks(at.service.parts.database) as found:
        for number in range(ROUNDS):
            places = triggers if number % 2 else triggers[::-1]
            asks = [moving(operation, trigger) for operation, trigger in zip(operations, places, strict=True)]
            assert together(at.service, at.client, asks * 3) == [200] * 6
    assert found == []


def moving(operation_id: str, trigger_id: str) -> Callable[[Client], int]:
    given = {"scheduled_operation": {"trigger_id": trigger_id}}
    return lambda own: own.call("PUT", f"scheduled_operations/{operation_id}", given).status_int
