"""Triggers in the order a user acts: create, read, list, change, delete."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event
from webtest import TestApp

from protectd.domain.events import sign
from protectd.model.repositories.base import Page
from tests.fakes.service import Client, Service, together

UNKNOWN_ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
WEEKLY = "BEGIN:VEVENT\nRRULE:FREQ=WEEKLY;INTERVAL=1;\nEND:VEVENT"


def body(**changed: Any) -> dict[str, Any]:
    properties = {"format": "crontab", "pattern": "0 2 * * *", "start_time": "2030-01-31 08:30:00"}
    return {"trigger_info": {"name": "daily", "type": "time", "properties": properties} | changed}


def trigger(client: Client, **changed: Any) -> dict[str, Any]:
    return dict(client.post("triggers", body(**changed), 201)["trigger_info"])


# --- create and read ---


def test_a_trigger_reads_back_with_strings_and_its_next_ten_times(member: Client) -> None:
    properties = {
        "format": "crontab",
        "pattern": "30 2 * * *",
        "time_zone": "Europe/Berlin",
        "start_time": "2030-01-01T00:00:00+01:00",
        "end_time": "2031-01-01 00:00:00",
        "window": 1800,
        "misfire": "run_all",
        "misfire_limit": "3",
        "jitter": 60,
    }
    answer = member.call("POST", "triggers", body(name="büro 備份", properties=properties))
    made = answer.json["trigger_info"]
    assert answer.status_int == 201
    assert answer.headers["Location"].endswith(f"/v1/{member.project_id}/triggers/{made['id']}")
    assert made["properties"] == {
        "format": "crontab",
        "pattern": "30 2 * * *",
        "time_zone": "Europe/Berlin",
        "start_time": "2029-12-31 23:00:00",
        "end_time": "2031-01-01 00:00:00",
        "window": "1800",
        "misfire": "run_all",
        "misfire_limit": "3",
        "jitter": "60",
    }
    assert (made["name"], made["type"], made["project_id"]) == ("büro 備份", "time", member.project_id)
    assert made["next_fire_times"][:2] == ["2030-01-01T01:30:00.000000", "2030-01-02T01:30:00.000000"]
    assert len(made["next_fire_times"]) == 10
    assert made["next_fire_time"] == made["next_fire_times"][0]
    assert member.get(f"triggers/{made['id']}")["trigger_info"] == made


def test_each_trigger_has_its_own_language(member: Client) -> None:
    cron = trigger(member)
    calendar = trigger(
        member, properties={"format": "calendar", "pattern": WEEKLY, "start_time": "2030-01-01"}
    )
    assert cron["next_fire_times"][1] == "2030-02-02T02:00:00.000000"
    assert calendar["next_fire_times"][1] == "2030-01-08T00:00:00.000000"
    assert calendar["properties"]["pattern"] == WEEKLY


def test_without_a_start_it_starts_now_in_whole_seconds(member: Client) -> None:
    start = trigger(member, properties={"format": "crontab", "pattern": "* * * * *"})["properties"][
        "start_time"
    ]
    moment = datetime.strptime(start, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=1)


def test_a_calendar_of_twenty_kilobytes_comes_back_as_it_was(member: Client) -> None:
    dates = ",".join(f"20310101T{n % 24:02}{n % 60:02}00" for n in range(1300))
    pattern = f"BEGIN:VEVENT\r\nRRULE:FREQ=DAILY\r\nRDATE:{dates}\r\nEND:VEVENT"
    assert len(pattern) > 20_000
    made = trigger(member, properties={"format": "calendar", "pattern": pattern, "start_time": "2032-01-01"})
    assert member.get(f"triggers/{made['id']}")["trigger_info"]["properties"]["pattern"] == pattern


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": None}, "trigger_info.name"),
        ({"name": "  "}, "trigger_info.name"),
        ({"name": "x" * 256}, "trigger_info.name"),
        ({"type": "moon"}, "trigger_info.type"),
        ({"type": 1}, "trigger_info.type"),
        ({"id": UNKNOWN_ID}, "trigger_info.id"),
        ({"properties": {}}, "trigger_info.properties.format"),
        ({"properties": None}, "trigger_info.properties.format"),
        ({"properties": []}, "trigger_info.properties"),
        ({"properties": {"format": "crontab"}}, "trigger_info.properties.pattern"),
        ({"properties": {"format": "crontab", "pattern": "61 * * * *"}}, "trigger_info.properties.pattern"),
        ({"properties": {"format": "crontab", "pattern": "* * * * *", "x": 1}}, "trigger_info.properties.x"),
        (
            {"properties": {"format": "crontab", "pattern": "* * * * *", "window": "long"}},
            "trigger_info.properties.window",
        ),
        (
            {"properties": {"format": "crontab", "pattern": "* * * * *", "window": [1]}},
            "trigger_info.properties.window",
        ),
        ({"type": "event"}, "trigger_info.properties.format"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(member: Client, changed: dict[str, Any], field: str) -> None:
    assert member.refused("POST", "triggers", 400, body(**changed))["field"] == field
    assert member.get("triggers") == {"triggers": []}


def test_another_projects_trigger_is_not_there(service: Service, member: Client) -> None:
    made = trigger(member)
    stranger = service.client()
    for method, given in (("GET", None), ("PUT", {"trigger_info": {"name": "x"}}), ("DELETE", None)):
        stranger.refused(method, f"triggers/{made['id']}", 404, given)
    member.refused("GET", f"triggers/{UNKNOWN_ID}", 404)
    member.refused("GET", "triggers/daily", 400)


# --- list ---


def test_a_list_is_narrowed_by_plain_text_and_paged(member: Client) -> None:
    ids = [trigger(member, name=f"night {n}")["id"] for n in range(3)]
    weekly = trigger(member, name="100%", properties={"format": "calendar", "pattern": WEEKLY})["id"]
    event = trigger(member, name="hook", type="event", properties={})["id"]

    def listed(query: str) -> set[str]:
        return {each["id"] for each in member.get(f"triggers?{query}")["triggers"]}

    assert listed("name=night") == set(ids)
    assert listed("name=.*") == set()
    assert listed("name=100%25") == {weekly}
    assert listed("type=event") == {event}
    assert listed("type=time&properties=crontab") == set(ids)
    assert listed("properties=FREQ%3DWEEKLY") == {weekly}
    page = member.get("triggers?limit=2&sort=created_at:asc")
    assert [each["id"] for each in page["triggers"]] == ids[:2]
    assert page["triggers_links"][0]["href"].endswith(f"marker={ids[1]}")


def test_a_list_asks_as_much_for_many_as_for_one(service: Service, member: Client) -> None:
    trigger(member)
    with service.counted_statements() as one:
        member.get("triggers")
    for _ in range(5):
        trigger(member)
    with service.counted_statements() as many:
        assert len(member.get("triggers")["triggers"]) == 6
    assert len(many) == len(one)


def test_an_administrator_sees_those_of_all_projects(service: Service, member: Client, admin: Client) -> None:
    made = trigger(member)
    found = admin.get(f"triggers?all_tenants=1&project_id={member.project_id}")["triggers"]
    assert [each["id"] for each in found] == [made["id"]]
    assert admin.get("triggers")["triggers"] == []


# --- change ---


def test_a_change_moves_its_next_times(member: Client) -> None:
    made = trigger(member)
    changed = member.call(
        "PUT", f"triggers/{made['id']}", {"trigger_info": {"properties": {"pattern": "0 3 * * *"}}}
    )
    shown = changed.json["trigger_info"]
    assert shown["next_fire_time"] == "2030-02-01T03:00:00.000000"
    assert shown["properties"]["start_time"] == "2030-01-31 08:30:00"
    assert member.get(f"triggers/{made['id']}")["trigger_info"] == shown


def test_a_name_changes_with_the_empty_properties_that_the_shell_sends(member: Client) -> None:
    made = trigger(member)
    given = {"trigger_info": {"name": "nightly", "type": "moon", "properties": {}}}
    shown = member.call("PUT", f"triggers/{made['id']}", given).json["trigger_info"]
    assert shown == made | {"name": "nightly", "updated_at": shown["updated_at"]}


def test_a_change_that_does_not_fit_leaves_all_as_it_was(member: Client) -> None:
    made = trigger(member)
    given = {"trigger_info": {"name": "new", "properties": {"pattern": "0 0 30 2 *"}}}
    fault = member.refused("PUT", f"triggers/{made['id']}", 400, given)
    assert fault["field"] == "trigger_info.properties.pattern"
    assert member.get(f"triggers/{made['id']}")["trigger_info"] == made


@pytest.mark.parametrize("given", [{}, {"trigger_info": {}}, {"trigger_info": {"id": UNKNOWN_ID}}])
def test_a_change_of_nothing_is_refused(member: Client, given: dict[str, Any]) -> None:
    member.refused("PUT", f"triggers/{trigger(member)['id']}", 400, given)


# --- delete ---


def test_a_deleted_trigger_is_gone(member: Client) -> None:
    made = trigger(member)
    assert member.call("DELETE", f"triggers/{made['id']}").status_int == 204
    member.refused("GET", f"triggers/{made['id']}", 404)
    member.refused("DELETE", f"triggers/{made['id']}", 404)
    assert member.get("triggers") == {"triggers": []}


def operation_body(plan: dict[str, Any], trigger_id: str) -> dict[str, Any]:
    definition = {"provider_id": plan["provider_id"], "plan_id": plan["id"]}
    return {
        "scheduled_operation": {
            "name": "nightly",
            "operation_type": "protect",
            "trigger_id": trigger_id,
            "operation_definition": definition,
        }
    }


def test_one_that_is_used_cannot_be_deleted(service: Service, member: Client) -> None:
    plan, made = member.plan(service.allowed / uuid.uuid4().hex), trigger(member)
    operation = member.post("scheduled_operations", operation_body(plan, made["id"]), 201)[
        "scheduled_operation"
    ]
    fault = member.refused("DELETE", f"triggers/{made['id']}", 409)
    assert fault["error"] == "trigger.in_use"
    assert operation["id"] in fault["message"]
    assert member.get(f"triggers/{made['id']}")["trigger_info"] == made
    member.call("DELETE", f"scheduled_operations/{operation['id']}")
    assert member.call("DELETE", f"triggers/{made['id']}").status_int == 204


def test_of_fifty_deletions_and_fifty_users_no_operation_is_left_hanging(shared: Service) -> None:
    client = shared.client()
    plan = client.plan(shared.allowed / "data")
    triggers = [trigger(client)["id"] for _ in range(50)]

    def deletion(id: str) -> Any:
        return lambda own: own.call("DELETE", f"triggers/{id}").status_int

    def creation(id: str) -> Any:
        return lambda own: own.call("POST", "scheduled_operations", operation_body(plan, id)).status_int

    for part in range(0, 50, 10):
        ids = triggers[part : part + 10]
        statuses = together(shared, client, [make(id) for id in ids for make in (deletion, creation)])
        for number in range(len(ids)):
            assert statuses[2 * number : 2 * number + 2] in ([204, 404], [409, 201])
    left = {each["id"] for each in client.get("triggers")["triggers"]}
    assert {each["trigger_id"] for each in client.get("scheduled_operations")["operations"]} == left


# --- events ---


def fire(
    client: Client, trigger_id: str, secret: str, body: bytes = b"{}", at: float | None = None, **headers: str
) -> Any:
    """Without a token."""
    timestamp = str(int(time.time() if at is None else at))
    signed = {"X-Protectd-Timestamp": timestamp, "X-Protectd-Signature": sign(secret, timestamp, body)}
    return client.app.post(
        f"/v1/triggers/{trigger_id}/fire", body, headers=signed | headers, expect_errors=True
    )


def event_trigger(client: Client) -> tuple[str, str]:
    made = trigger(client, type="event", properties={})
    return made["id"], made["secret"]


def test_the_secret_of_an_event_trigger_is_told_once(service: Service, member: Client) -> None:
    answer = member.call("POST", "triggers", body(type="event", properties={}), **{"Idempotency-Key": "k"})
    made = answer.json["trigger_info"]
    assert len(made["secret"]) >= 43
    assert made["fire_path"] == f"/v1/triggers/{made['id']}/fire"
    assert "secret" not in member.get(f"triggers/{made['id']}")["trigger_info"]
    assert "secret" not in member.get("triggers")["triggers"][0]
    with service.parts.database.read() as uow:
        (row,) = [each for each in uow.secrets.page(Page()) if each.name == f"trigger {made['id']}"]
        assert row.project_id != member.project_id
        assert made["secret"].encode() not in row.cipher_text
    assert (
        member.call(
            "POST", "triggers", body(type="event", properties={}), **{"Idempotency-Key": "k"}
        ).status_int
        == 409
    )


def test_a_signed_event_is_taken_without_a_token_and_answered_alike_when_it_comes_again(
    member: Client,
) -> None:
    id, secret = event_trigger(member)
    moment = time.time()
    first = fire(member, id, secret, b'{"a": 1}', moment)
    assert first.status_int == 202
    assert first.json["event"]["trigger_id"] == id
    assert fire(member, id, secret, b'{"a": 1}', moment).json == first.json
    assert fire(member, id, secret, b"", moment).json != first.json


def test_of_one_event_that_comes_many_times_at_once_there_is_one(shared: Service) -> None:
    client = shared.client()
    id, secret = event_trigger(client)
    plan = client.plan(shared.allowed / "data")
    operation = client.post("scheduled_operations", operation_body(plan, id), 201)["scheduled_operation"]
    moment = time.time()
    answers = together(shared, client, [lambda own: fire(own, id, secret, b"x", moment) for _ in range(8)])
    assert {answer.status_int for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    rows = client.get(f"scheduled_operations/{operation['id']}/occurrences")["occurrences"]
    assert [row["outcome"] for row in rows] == ["waiting"]


@pytest.mark.parametrize("value", ["\x00", "\ud800", "a\x00b", "𝕏" * 300])
def test_texts_that_no_database_takes_are_no_fault_of_the_service(member: Client, value: str) -> None:
    for given in (
        body(name=value),
        body(properties={"format": "crontab", "pattern": value}),
        body(properties={"format": "calendar", "pattern": f"SUMMARY:{value}\nRRULE:FREQ=DAILY"}),
        body(properties={"format": "crontab", "pattern": "@daily", "time_zone": value}),
        body(properties={"format": "crontab", "pattern": "@daily", value: "x"}),
    ):
        answer = member.call("POST", "triggers", given)
        assert answer.status_int in (201, 400), answer
        if answer.status_int == 201:
            assert member.get("triggers")


def test_what_is_not_signed_well_looks_like_what_is_not_there(member: Client) -> None:
    id, secret = event_trigger(member)
    timed = trigger(member)["id"]
    now = time.time()
    refused = [
        fire(member, id, "another"),
        fire(member, id, secret, at=now - 400),
        fire(member, id, secret, at=now + 400),
        fire(member, UNKNOWN_ID, secret),
        fire(member, "nothing", secret),
        fire(member, timed, secret),
        fire(member, id, secret, **{"X-Protectd-Signature": ""}),
        fire(member, id, secret, **{"X-Protectd-Signature": "v1=\u00e9"}),
        fire(member, id, secret, **{"X-Protectd-Timestamp": "9" * 400}),
        fire(member, id, secret, **{"X-Protectd-Timestamp": "soon"}),
    ]
    answers = {(each.status_int, each.json["unauthorized"]["message"]) for each in refused}
    assert answers == {(401, "a valid token is needed")}


def test_only_the_post_of_an_event_needs_no_token(member: Client) -> None:
    id, _ = event_trigger(member)
    for method, path in (
        ("get", f"/v1/triggers/{id}/fire"),
        ("post", f"/v1/triggers/{id}"),
        ("post", "/v1/triggers"),
    ):
        assert getattr(member.app, method)(path, expect_errors=True).status_int == 401
    member.refused("GET", f"/v1/triggers/{id}/fire", 405)
    member.refused("POST", f"/v1/triggers/{id}", 404)


def test_a_new_secret_makes_the_former_worthless(member: Client) -> None:
    id, former = event_trigger(member)
    changed = member.call("PUT", f"triggers/{id}", {"trigger_info": {"rotate_secret": True}}).json[
        "trigger_info"
    ]
    assert fire(member, id, former).status_int == 401
    assert fire(member, id, changed["secret"]).status_int == 202


def test_a_secret_that_is_changed_while_an_event_is_looked_at_is_worthless(
    service: Service, member: Client
) -> None:
    id, secret = event_trigger(member)
    operation = member.post("scheduled_operations", operation_body(member.plan(service.allowed), id), 201)[
        "scheduled_operation"
    ]
    other = Client(TestApp(service.app.app), member.token, member.project_id)
    looked: list[object] = []

    def change(*_: object) -> None:
        """When the connection is given back over which the signature was checked."""
        looked.append(None)
        if len(looked) == 1:
            given = {"trigger_info": {"rotate_secret": True}}
            assert other.call("PUT", f"triggers/{id}", given).status_int == 200

    event.listen(service.parts.database.engine, "checkin", change)
    assert fire(member, id, secret).status_int == 401
    assert member.get(f"scheduled_operations/{operation['id']}/occurrences") == {"occurrences": []}


def test_a_trigger_of_times_has_no_secret_to_change(member: Client) -> None:
    made = trigger(member)
    path = f"triggers/{made['id']}"
    fault = member.refused("PUT", path, 409, {"trigger_info": {"name": "n", "rotate_secret": True}})
    assert (fault["error"], fault["field"]) == ("trigger.takes_no_events", "trigger_info.rotate_secret")
    assert member.get(path)["trigger_info"] == made
    given = {"trigger_info": {"name": "n", "rotate_secret": False}}
    assert member.call("PUT", path, given).status_int == 200


def test_an_event_that_comes_again_fires_nothing_that_was_made_or_enabled_since(
    service: Service, member: Client
) -> None:
    id, secret = event_trigger(member)
    moment = time.time()

    def hang(**changed: Any) -> str:
        body = operation_body(member.plan(service.allowed), id)
        body["scheduled_operation"] |= changed
        return str(member.post("scheduled_operations", body, 201)["scheduled_operation"]["id"])

    def outcomes(operation: str) -> list[str]:
        found = member.get(f"scheduled_operations/{operation}/occurrences")["occurrences"]
        return [each["outcome"] for each in found]

    was_there, rested = hang(), hang(enabled=False)
    assert fire(member, id, secret, b"x", moment).status_int == 202
    made_since = hang()
    member.call("PUT", f"scheduled_operations/{rested}", {"scheduled_operation": {"enabled": True}})
    assert fire(member, id, secret, b"x", moment).status_int == 202
    assert (
        outcomes(was_there) == ["waiting"] and outcomes(rested) == ["skipped"] and outcomes(made_since) == []
    )
    assert fire(member, id, secret, b"y", moment).status_int == 202
    assert sorted(outcomes(was_there)) == ["waiting", "waiting"]
    assert sorted(outcomes(rested)) == ["skipped", "waiting"] and outcomes(made_since) == ["waiting"]


def test_a_deleted_trigger_takes_no_events_and_its_secret_is_gone(service: Service, member: Client) -> None:
    id, secret = event_trigger(member)
    member.call("DELETE", f"triggers/{id}")
    assert fire(member, id, secret).status_int == 401
    with service.parts.database.read() as uow:
        assert [each for each in uow.secrets.page(Page()) if each.name == f"trigger {id}"] == []
