"""Requests that come at the same moment, on every database: one order of them is always the whole truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event

from protectd.model.errors import DatabaseContended, DatabaseUnavailable
from tests.fakes.service import FILES_ID, Client, Service, run_body, together

ROUNDS = 4
AT_ONCE = 6


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


def test_plans_that_share_directories_in_any_order_register_each_once(shared: Service) -> None:
    client = shared.client()
    for number in range(ROUNDS):
        resources = [
            {
                "type": "directory",
                "name": str(n),
                "extra_info": {"path": str(shared.allowed / f"{number}-{n}")},
            }
            for n in range(12)
        ]
        orders = [resources[start:] + resources[:start] for start in range(0, 12, 3)]
        bodies = [client.plan_body("/", resources=order[:8]) for order in orders]
        asks = [lambda own, body=body: own.post("plans", body, 201)["plan"] for body in bodies]
        made = [each for plan in together(shared, client, asks) for each in plan["resources"]]
        assert len({each["id"] for each in made}) == len({each["name"] for each in made}) == 12


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


def test_a_checkpoint_is_never_deleted_under_a_copy_and_copied_once(shared: Service) -> None:
    client = shared.client()
    plan = client.plan(shared.allowed)
    body = {"copy": {"plan_id": plan["id"], "parameters": {"copy": {"provider_id": FILES_ID}}}}
    action = f"providers/{plan['provider_id']}/checkpoints/action"
    for _ in range(ROUNDS):
        made = client.checkpoint(plan)
        with shared.parts.database.write() as uow:
            uow.checkpoints.get(made["id"]).status = "available"
        url = f"providers/{plan['provider_id']}/checkpoints/{made['id']}"
        asks = [
            lambda own: own.post(action, body, 202)["copy"]["checkpoint_id"],
            lambda own, path=url: own.call("DELETE", path).status_int,
        ]
        answers = together(shared, client, asks * (AT_ONCE // 2))
        pairs = [pair for each in answers[::2] for pair in each]
        deletes = answers[1::2].count(202)
        assert set(answers[1::2]) <= {202, 409}
        assert (len(pairs), deletes) in {(1, 0), (0, 1)}
        for pair in pairs:
            with shared.parts.database.write() as uow:
                uow.checkpoints.get(pair["checkpoint_copy_id"]).status = "error"
            assert client.call("DELETE", url).status_int == 202


@pytest.fixture
def giving_up(service: Service) -> Iterator[Callable[[int], None]]:
    """Have the database give up so many of the next units of work that insert a plan."""
    left = [0]

    def give_up(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.startswith("INSERT INTO plans") and left[0]:
            left[0] -= 1
            raise DatabaseContended(reason="deadlock found")

    engine = service.parts.database.engine
    event.listen(engine, "before_cursor_execute", give_up)
    yield lambda count: left.__setitem__(0, count)
    event.remove(engine, "before_cursor_execute", give_up)


def test_a_request_that_the_database_gave_up_is_done_anew(
    service: Service, member: Client, giving_up: Callable[[int], None]
) -> None:
    giving_up(3)
    made = member.plan(service.allowed)
    assert member.get("plans")["plans"] == [made]


def test_it_is_not_done_anew_for_ever(
    service: Service, member: Client, giving_up: Callable[[int], None]
) -> None:
    giving_up(4)
    fault = member.refused("POST", "plans", 503, member.plan_body(service.allowed))
    assert fault["error"] == "database.contended"
    assert member.get("plans") == {"plans": []}


def test_a_database_that_is_away_is_not_asked_again(service: Service, member: Client) -> None:
    asked = []

    def fail(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.startswith("INSERT INTO plans"):
            asked.append(statement)
            raise DatabaseUnavailable(reason="all connections are in use")

    event.listen(service.parts.database.engine, "before_cursor_execute", fail)
    fault = member.refused("POST", "plans", 503, member.plan_body(service.allowed))
    event.remove(service.parts.database.engine, "before_cursor_execute", fail)
    assert (fault["error"], len(asked)) == ("database.unavailable", 1)
