"""Quotas are exact: many at once, over lines that break, with workers that vanish, on every database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from protectd.common.errors import Cancelled
from protectd.domain.balances import heal
from protectd.model.repositories.quotas import CHECKPOINTS, OPERATIONS, PLANS, STORED_BYTES
from protectd.model.unit_of_work import Database
from protectd.tasks.run import Run
from tests.fakes import rows
from tests.fakes.clock import ManualClock
from tests.fakes.cuts import Killer, Line, When, killing, line_to
from tests.fakes.databases import KINDS, empty_database
from tests.fakes.service import FILES_ID, MEMORY_ID, Client, Service, running, together
from tests.fakes.tasks import Scripted, claim_and_vanish, env_of, new_checkpoint, run_task, task_of

pytest_plugins = ["tests.fakes.databases"]

AT_ONCE = 50
PROTECT = f"providers/{MEMORY_ID}/checkpoints"


def limit(service: Service, client: Client, **limits: int) -> None:
    with service.parts.database.write() as uow:
        uow.quotas.set_limits(client.project_id, limits)


def in_use(client: Client) -> dict[str, int]:
    detail = client.get(f"quotas/{client.project_id}/detail")["quota"]
    return {name: entry["in_use"] for name, entry in detail.items() if name != "id" and entry["in_use"]}


# --- many at once ---


def test_as_many_plans_as_there_is_room_for(shared: Service) -> None:
    client = shared.client()
    limit(shared, client, plans=20)
    body = client.plan_body(shared.allowed)
    asks = [lambda own: own.call("POST", "plans", body).status_int] * AT_ONCE
    assert Counter(together(shared, client, asks)) == {201: 20, 413: 30}
    assert len(client.get("plans")["plans"]) == 20
    assert in_use(client) == {PLANS: 20}


def test_as_many_checkpoints_as_there_is_room_for(shared: Service) -> None:
    client = shared.client()
    bodies = [{"checkpoint": {"plan_id": client.plan(shared.allowed)["id"]}} for _ in range(5)]
    limit(shared, client, checkpoints=30, operations=17)
    asks = [lambda own, body=body: own.call("POST", PROTECT, body).status_int for body in bodies] * 10
    assert Counter(together(shared, client, asks)) == {202: 17, 413: 33}
    assert len(client.get(PROTECT)["checkpoints"]) == 17
    assert in_use(client) == {PLANS: 5, CHECKPOINTS: 17, OPERATIONS: 17}


def test_those_who_come_and_those_who_go(shared: Service) -> None:
    client = shared.client()
    plans = [client.plan(shared.allowed)["id"] for _ in range(15)]
    limit(shared, client, plans=20)
    body = client.plan_body(shared.allowed)
    comes: list[Callable[[Client], int]] = [lambda own: own.call("POST", "plans", body).status_int]
    goes = [lambda own, id=id: own.call("DELETE", f"plans/{id}").status_int for id in plans]
    statuses = Counter(together(shared, client, [*comes * 20, *goes, *goes]))
    assert statuses[204] == 15 and statuses[404] == 15
    assert 5 <= statuses[201] <= 20 and statuses[201] + statuses[413] == 20
    assert in_use(client) == {PLANS: statuses[201]} and len(client.get("plans")["plans"]) == statuses[201]


@pytest.fixture(params=KINDS)
def doing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    """Tasks are done when the answer comes."""
    with (
        empty_database(request.param, tmp_path) as url,
        running(tmp_path, mode="direct", database=url) as service,
    ):
        yield service


def test_whatever_it_is_called_at_once_what_lies_in_the_bank_counts(doing: Service) -> None:
    client, database = doing.client(), doing.parts.database
    plan = client.plan(doing.directory(), FILES_ID)
    path = f"providers/{FILES_ID}/checkpoints"
    made = [client.checkpoint(plan)["id"] for _ in range(4)]

    def reset(id: str, state: str) -> Callable[[Client], object]:
        body = {"os-resetState": {"state": state}}
        return lambda own: own.call("PUT", f"{path}/{id}", body).status_int

    asks = [reset(id, state) for id in made for state in ("error", "available", "error")]
    asks += [lambda own, id=id: own.call("DELETE", f"{path}/{id}").status_int for id in made[2:]]
    asks += [lambda own: heal(database, own.project_id, doing.parts.clock)] * 2
    found = together(doing, client, asks)
    assert found[-2:] == [{}, {}]
    with database.read() as uow:
        left = [row for id in made if (row := uow.checkpoints.get(id)).status != "deleted"]
    assert {row.status for row in left} <= {"available", "error"} and len(left) >= 2
    stored = {STORED_BYTES: sum(row.stored_bytes for row in left)}
    expected = {PLANS: 1, CHECKPOINTS: len(left)} | {name: each for name, each in stored.items() if each}
    assert in_use(client) == expected
    assert heal(database, client.project_id, doing.parts.clock) == {}


# --- lines that break ---


@pytest.fixture(params=["postgresql", "mariadb"])
def line(request: pytest.FixtureRequest) -> Iterator[Line]:
    with line_to(request.getfixturevalue(request.param)) as line:
        yield line


@pytest.fixture
def remote(line: Line, tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path, database=line.url) as service:
        yield service


@pytest.fixture
def killer(remote: Service) -> Iterator[Killer]:
    with killing(remote.parts.database.engine) as killer:
        yield killer


def test_a_connection_that_breaks_at_any_statement_counts_once(remote: Service, killer: Killer) -> None:
    client = remote.client()
    plan = client.plan(remote.allowed)
    killer.arm(None)
    body = {"checkpoint": {"plan_id": plan["id"]}}
    client.post(PROTECT, body, 202)
    for number, statement in enumerate(killer.statements, 1):
        remote.parts.dispatcher.flush()
        killer.arm(number - 1)
        client.post(PROTECT, body, 202)
        killer.arm(None)
        assert in_use(client) == {PLANS: 1, CHECKPOINTS: number + 1, OPERATIONS: number + 1}, statement


@pytest.mark.parametrize("cut", ["before", "after"])
def test_on_whichever_side_of_the_commit_the_line_breaks_it_counts_once(
    remote: Service, line: Line, cut: When
) -> None:
    client = remote.client()
    kept = client.plan(remote.allowed)
    limit(remote, client, plans=2, checkpoints=1)
    line.arm(cut)
    gone = client.plan(remote.allowed)
    assert line.cut is None and in_use(client) == {PLANS: 2}
    line.arm(cut)
    assert client.call("DELETE", f"plans/{gone['id']}").status_int == 204
    assert line.cut is None and in_use(client) == {PLANS: 1}
    line.arm(cut)
    client.checkpoint(kept)
    assert line.cut is None and in_use(client) == {PLANS: 1, CHECKPOINTS: 1, OPERATIONS: 1}


# --- workers ---


def usages(database: Database) -> dict[str, int]:
    with database.read() as uow:
        return {name: amount for name, amount in uow.quotas.usages(rows.PROJECT).items() if amount}


@pytest.fixture
def before(any_database: Database) -> dict[str, int]:
    return usages(any_database)


def more(database: Database, before: dict[str, int]) -> dict[str, int]:
    now = usages(database)
    return {name: now[name] - before.get(name, 0) for name in now if now[name] != before.get(name, 0)}


def refuse(run: Run) -> None:
    raise Cancelled


def test_a_run_gives_its_operation_back_however_it_ends(
    any_database: Database, before: dict[str, int]
) -> None:
    clock = ManualClock()
    env = env_of(any_database, clock)
    _, good = new_checkpoint(any_database, clock)
    _, bad = new_checkpoint(any_database, clock)
    assert more(any_database, before) == {CHECKPOINTS: 2, OPERATIONS: 2}
    run_task(env, good)
    assert more(any_database, before) == {CHECKPOINTS: 2, OPERATIONS: 1}
    run_task(env, bad, refuse)
    assert more(any_database, before) == {CHECKPOINTS: 1}
    run_task(env, good)
    run_task(env, bad)
    assert more(any_database, before) == {CHECKPOINTS: 1}


def test_a_worker_that_vanished_gives_back_through_whoever_ends_its_task(
    any_database: Database, before: dict[str, int]
) -> None:
    clock = ManualClock()
    env = env_of(any_database, clock)
    _, ref = new_checkpoint(any_database, clock)
    claim_and_vanish(env, ref)
    task = task_of(any_database, ref)
    ended = [Scripted(env, refuse).give_up_and_suppress_exceptions(task, Cancelled()) for _ in range(3)]
    assert ended == [True, False, False]
    assert more(any_database, before) == {}


def test_a_late_worker_gives_nothing_back_a_second_time(
    any_database: Database, before: dict[str, int]
) -> None:
    clock = ManualClock()
    env = env_of(any_database, clock)
    _, ref = new_checkpoint(any_database, clock)

    def lose(run: Run) -> None:
        task = task_of(any_database, ref)
        assert Scripted(env, refuse).give_up_and_suppress_exceptions(task, Cancelled())

    run_task(env, ref, lose)
    assert more(any_database, before) == {}


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_commit_that_is_lost_at_the_end_of_a_run_gives_back_once(
    remote: Service, line: Line, cut: When
) -> None:
    database, clock = remote.parts.database, ManualClock()
    before = usages(database)
    _, ref = new_checkpoint(database, clock)
    run_task(env_of(database, clock), ref, lambda run: line.arm(cut))
    assert line.cut is None
    assert more(database, before) == {CHECKPOINTS: 1}
