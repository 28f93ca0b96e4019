"""Requests that come at the same moment, on every database: one order of them is always the whole truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import webtest

from tests.fakes.service import Client, Service, run_body, running

ROUNDS = 4
AT_ONCE = 6


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    database = None if request.param == "sqlite" else request.getfixturevalue(request.param)
    with running(tmp_path, database=database) as service:
        yield service


def together(service: Service, client: Client, asks: Sequence[Callable[[Client], Any]]) -> list[Any]:
    """Each in a thread of its own, all let go at once."""
    barrier = Barrier(len(asks))

    def run(ask: Callable[[Client], Any]) -> Any:
        own = Client(webtest.TestApp(service.app.app), client.token, client.project_id)
        barrier.wait()
        return ask(own)

    with ThreadPoolExecutor(len(asks)) as pool:
        return list(pool.map(run, asks))


def test_a_directory_registered_by_many_at_once_is_one_instance(shared: Service) -> None:
    client = shared.client()
    for number in range(ROUNDS):
        path = str(shared.allowed / f"same-{number}")
        body = {"instance": {"name": "n", "properties": {"path": path}}}
        answers = together(
            shared,
            client,
            [lambda own, body=body: own.post("protectables/directory/instances", body, 201)] * AT_ONCE,
        )
        assert len({answer["instance"]["id"] for answer in answers}) == 1


def test_a_plan_is_never_deleted_under_a_run(shared: Service) -> None:
    client = shared.client()
    for _ in range(ROUNDS):
        plan = client.plan(shared.allowed)
        start = {"checkpoint": {"plan_id": plan["id"]}}
        runs, plans = f"providers/{plan['provider_id']}/checkpoints", f"plans/{plan['id']}"
        asks = [
            lambda own, path=runs, body=start: own.call("POST", path, body).status_int,
            lambda own, path=plans: own.call("DELETE", path).status_int,
        ]
        statuses = together(shared, client, asks * (AT_ONCE // 2))
        started, deleted = statuses.count(202), statuses.count(204)
        assert set(statuses) <= {202, 204, 404, 409}
        assert (started, deleted) in {(AT_ONCE // 2, 0), (0, 1)}


def test_a_checkpoint_is_never_deleted_under_a_restore(shared: Service) -> None:
    client = shared.client()
    plan = client.plan(shared.allowed)
    for _ in range(ROUNDS):
        made = client.checkpoint(plan)
        with shared.parts.database.write() as uow:
            uow.checkpoints.get(made["id"]).status = "available"
        url = f"providers/{plan['provider_id']}/checkpoints/{made['id']}"
        body = {"restore": run_body(made)}
        asks = [
            lambda own, body=body: own.call("POST", "restores", body).status_int,
            lambda own, path=url: own.call("DELETE", path).status_int,
        ]
        statuses = together(shared, client, asks * (AT_ONCE // 2))
        restores, deletes = statuses[::2].count(202), statuses[1::2].count(202)
        assert set(statuses) <= {202, 409}
        assert (restores, deletes) in {(AT_ONCE // 2, 0), (0, 1)}
