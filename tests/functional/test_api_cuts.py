"""Connections to the database that break under a request: it is done anew, or looked up what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import webtest

from protectd.common.ids import new_id
from tests.fakes.cuts import Killer, Line, When, killing, line_to
from tests.fakes.databases import empty_database
from tests.fakes.service import MEMORY_ID, Client, Service, fault_of, running

PROTECT = f"providers/{MEMORY_ID}/checkpoints"
INSTANCES = "protectables/directory/instances"


SERVERS = ["postgresql", "mariadb"]


@pytest.fixture(scope="module", params=SERVERS)
def line(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with empty_database(request.param, tmp_path_factory.mktemp("none")) as url, line_to(url) as line:
        yield line


@pytest.fixture(scope="module")
def long_lived(line: Line, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Its database is at the other end of the line."""
    with running(tmp_path_factory.mktemp("remote"), database=line.url) as service:
        yield service


@pytest.fixture
def remote(long_lived: Service) -> Service:
    """At rest: nothing of an earlier test is still to be written."""
    long_lived.parts.dispatcher.flush()
    return long_lived


@pytest.fixture
def killer(remote: Service) -> Iterator[Killer]:
    with killing(remote.parts.database.engine) as killer:
        yield killer


@pytest.fixture
def client(remote: Service) -> Client:
    return remote.client()


def body_for(service: Service, client: Client, path: str) -> Any:
    if path == PROTECT:
        return {"checkpoint": {"plan_id": client.plan(service.allowed)["id"]}}
    if path == INSTANCES:
        return {"instance": {"name": "n", "properties": {"path": str(service.allowed / new_id())}}}
    return client.plan_body(service.allowed)


def count(client: Client, path: str) -> int:
    return len(next(iter(client.get(path).values())))


def post(client: Client, path: str, body: Any, key: str | None = None) -> webtest.TestResponse:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.call("POST", path, body, **headers)


# --- at a statement ---


@pytest.mark.parametrize("path", ["plans", PROTECT])
@pytest.mark.parametrize("keyed", [False, True])
def test_a_request_whose_connection_breaks_at_any_statement_is_done_once(
    remote: Service, client: Client, killer: Killer, path: str, keyed: bool
) -> None:
    body = body_for(remote, client, path)
    killer.arm(None)
    assert post(client, path, body, new_id() if keyed else None).status_int in (201, 202)
    for number, statement in enumerate(killer.statements):
        before = count(client, path)
        remote.parts.dispatcher.flush()
        killer.arm(number)
        answer = post(client, path, body, new_id() if keyed else None)
        killer.arm(None)
        assert answer.status_int in (201, 202), f"{statement}: {answer.text}"
        assert "Idempotency-Replayed" not in answer.headers
        assert count(client, path) == before + 1, statement


def test_a_list_is_read_anew(remote: Service, client: Client, killer: Killer) -> None:
    plan = client.plan(remote.allowed)
    killer.arm(None)
    client.get("plans")
    for number in range(len(killer.statements)):
        killer.arm(number)
        assert client.get("plans") == {"plans": [plan]}


def test_a_request_that_loses_every_connection_is_given_up(
    remote: Service, client: Client, killer: Killer
) -> None:
    body = client.plan_body(remote.allowed)
    killer.arm(1, again=True)
    fault = fault_of(post(client, "plans", body))
    killer.arm(None)
    assert (fault["code"], fault["error"]) == (503, "database.connection_lost")
    assert client.get("plans") == {"plans": []}


@pytest.mark.parametrize("kind", SERVERS)
def test_work_that_is_done_at_once_is_told_as_it_ended(kind: str, tmp_path: Path) -> None:
    """The thread of the request is cut, whatever the work is: so it is simulated."""
    with (
        empty_database(kind, tmp_path) as url,
        running(tmp_path, mode="direct", handler="noop", database=url) as service,
    ):
        client = service.client()
        body = {"checkpoint": {"plan_id": client.plan(service.directory())["id"]}}
        with killing(service.parts.database.engine) as killer:
            post(client, PROTECT, body, new_id())
            assert killer.statements[-1].startswith("UPDATE idempotency_keys")
            for number, statement in enumerate(killer.statements):
                key = new_id()
                killer.arm(number)
                answer = post(client, PROTECT, body, key)
                killer.arm(None)
                assert answer.json["checkpoint"]["status"] == "available", statement
                assert post(client, PROTECT, body, key).body == answer.body
        assert count(client, PROTECT) == number + 2


# --- at the commit ---


@pytest.mark.parametrize("cut", ["before", "after"])
@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("path", ["plans", PROTECT, INSTANCES])
def test_what_is_made_is_made_once_on_whichever_side_of_the_commit_the_line_breaks(
    remote: Service, client: Client, line: Line, path: str, keyed: bool, cut: When
) -> None:
    body, key = body_for(remote, client, path), new_id() if keyed else None
    before = count(client, path)
    remote.parts.dispatcher.flush()
    line.arm(cut)
    answer = post(client, path, body, key)
    assert line.cut is None
    assert answer.status_int in (201, 202), answer.text
    assert count(client, path) == before + 1
    made = next(iter(answer.json.values()))
    where = answer.headers["Location"].partition(f"/v1/{client.project_id}/")[2]
    assert next(iter(client.get(where).values()))["id"] == made["id"]
    if keyed:
        assert post(client, path, body, key).body == answer.body


@pytest.mark.parametrize("cut", ["before", "after"])
def test_what_is_changed_and_deleted_is_answered_as_if_nothing_had_been(
    remote: Service, client: Client, line: Line, cut: When
) -> None:
    plan = client.plan(remote.allowed)
    url = f"plans/{plan['id']}"
    line.arm(cut)
    assert client.call("PUT", url, {"plan": {"name": "new"}}).json["plan"]["name"] == "new"
    assert client.get(url)["plan"]["name"] == "new"
    line.arm(cut)
    assert client.call("DELETE", url).status_int == 204
    assert line.cut is None
    client.refused("GET", url, 404)


@pytest.mark.parametrize("cut", ["before", "after"])
def test_where_nobody_can_look_the_answer_says_so(
    remote: Service, client: Client, line: Line, cut: When
) -> None:
    body = client.plan_body(remote.allowed)
    line.arm(cut, goes_down=True)
    fault = fault_of(post(client, "plans", body))
    assert (fault["code"], fault["error"]) == (503, "database.outcome_unknown")
    line.down.clear()
    assert count(client, "plans") == (cut == "after")
