"""Scheduled operations in the order a user acts: create, read, list, change, delete."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from protectd.api import policies
from protectd.domain.scheduled_operations import TYPES
from protectd.domain.tokens import issue
from protectd.model.models import Token
from tests.fakes.service import FILES_ID, MEMORY_ID, Client, Service, running, together

UNKNOWN_ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


@pytest.fixture
def trigger_id(member: Client) -> str:
    return make_trigger(member)


@pytest.fixture
def plan(service: Service, member: Client) -> dict[str, Any]:
    return member.plan(service.allowed / uuid.uuid4().hex)


def make_trigger(client: Client) -> str:
    properties = {"format": "crontab", "pattern": "0 2 * * *", "start_time": "2030-01-31 08:30:00"}
    body = {"trigger_info": {"name": "daily", "type": "time", "properties": properties}}
    return str(client.post("triggers", body, 201)["trigger_info"]["id"])


def body(trigger_id: str, plan: dict[str, Any], /, **changed: Any) -> dict[str, Any]:
    operation = {
        "name": "nightly",
        "operation_type": "protect",
        "trigger_id": trigger_id,
        "operation_definition": {"provider_id": plan["provider_id"], "plan_id": plan["id"]},
    }
    return {"scheduled_operation": operation | changed}


def create(client: Client, trigger_id: str, plan: dict[str, Any], **changed: Any) -> dict[str, Any]:
    given = body(trigger_id, plan, **changed)
    return dict(client.post("scheduled_operations", given, 201)["scheduled_operation"])


def test_one_reads_back_with_strings_enabled_and_its_next_time(
    member: Client, trigger_id: str, plan: dict[str, Any]
) -> None:
    definition = {
        "provider_id": plan["provider_id"],
        "plan_id": plan["id"],
        "max_backups": 3,
        "count_partial": True,
    }
    given = body(trigger_id, plan, operation_type="retention_protect", operation_definition=definition)
    answer = member.call("POST", "scheduled_operations", given)
    made = answer.json["scheduled_operation"]
    assert answer.status_int == 201
    assert answer.headers["Location"].endswith(f"/scheduled_operations/{made['id']}")
    assert made["operation_definition"] == definition | {"max_backups": "3", "count_partial": "true"}
    assert (made["enabled"], made["description"], made["trigger_id"]) == (True, None, trigger_id)
    shown = member.get(f"scheduled_operations/{made['id']}")["scheduled_operation"]
    assert shown == made | {"last_occurrence": None, "next_fire_time": "2030-02-01T02:00:00.000000"}


def test_a_definition_may_come_as_the_text_of_a_command_line(
    member: Client, trigger_id: str, plan: dict[str, Any]
) -> None:
    text = f"plan_id={plan['id']},provider_id={plan['provider_id']}"
    made = create(member, trigger_id, plan, operation_definition=text)
    assert made["operation_definition"] == {"plan_id": plan["id"], "provider_id": plan["provider_id"]}


def test_a_definition_of_ten_kilobytes_is_kept(member: Client, trigger_id: str, plan: dict[str, Any]) -> None:
    definition = {"provider_id": plan["provider_id"], "plan_id": plan["id"], "note": "ü" * 10_000}
    made = create(member, trigger_id, plan, operation_definition=definition)
    shown = member.get(f"scheduled_operations/{made['id']}")["scheduled_operation"]
    assert shown["operation_definition"] == definition


@pytest.mark.parametrize(
    ("changed", "status", "field"),
    [
        ({"name": None}, 400, "name"),
        ({"name": " "}, 400, "name"),
        ({"operation_type": "explode"}, 400, "operation_type"),
        ({"operation_type": None}, 400, "operation_type"),
        ({"trigger_id": "daily"}, 400, "trigger_id"),
        ({"trigger_id": UNKNOWN_ID}, 404, "trigger_id"),
        ({"enabled": "yes"}, 400, "enabled"),
        ({"project_id": "p"}, 400, "project_id"),
        ({"operation_definition": []}, 400, "operation_definition"),
        ({"operation_definition": "plan"}, 400, "operation_definition"),
        ({"operation_definition": {}}, 400, "operation_definition.provider_id"),
        ({"operation_definition": {"provider_id": UNKNOWN_ID}}, 400, "operation_definition.provider_id"),
        ({"operation_definition": {"provider_id": "x"}}, 400, "operation_definition.provider_id"),
        ({"operation_definition": {"provider_id": MEMORY_ID}}, 400, "operation_definition.plan_id"),
        (
            {"operation_definition": {"provider_id": MEMORY_ID, "plan_id": UNKNOWN_ID}},
            404,
            "operation_definition.plan_id",
        ),
        (
            {"operation_definition": {"provider_id": MEMORY_ID, "plan_id": 7}},
            400,
            "operation_definition.plan_id",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    member: Client, trigger_id: str, plan: dict[str, Any], changed: dict[str, Any], status: int, field: str
) -> None:
    fault = member.refused("POST", "scheduled_operations", status, body(trigger_id, plan, **changed))
    assert fault["field"] == f"scheduled_operation.{field}"
    assert member.get("scheduled_operations") == {"operations": []}


@pytest.mark.parametrize(
    ("type", "more", "field"),
    [
        ("verify", {"depth": "deep"}, "depth"),
        ("verify", {"parameters": "x"}, "parameters"),
        ("verify", {"parameters": {"tape": {}}}, "parameters.tape"),
        ("verify", {"parameters": {"directory": {"x": 1}}}, "parameters.directory.x"),
        ("verify", {"parameters": {f"directory#{UNKNOWN_ID}": {}}}, f"parameters.directory#{UNKNOWN_ID}"),
        ("copy", {"parameters": {"tape": {}}}, "parameters.tape"),
        ("copy", {"parameters": {"copy": {"provider_id": UNKNOWN_ID}}}, "parameters.copy.provider_id"),
        ("retention_protect", {"max_backups": "many"}, "max_backups"),
        ("retention_protect", {"keep_dayly": 1}, "keep_dayly"),
    ],
)
def test_a_definition_is_checked_as_its_type_needs(
    member: Client, trigger_id: str, plan: dict[str, Any], type: str, more: dict[str, Any], field: str
) -> None:
    definition = {"provider_id": plan["provider_id"], "plan_id": plan["id"], **more}
    given = body(trigger_id, plan, operation_type=type, operation_definition=definition)
    fault = member.refused("POST", "scheduled_operations", 400, given)
    assert fault["field"] == f"scheduled_operation.operation_definition.{field}"


def test_a_plan_of_another_provider_is_refused(member: Client, trigger_id: str, plan: dict[str, Any]) -> None:
    definition = {"provider_id": FILES_ID, "plan_id": plan["id"]}
    given = body(trigger_id, plan, operation_definition=definition)
    fault = member.refused("POST", "scheduled_operations", 400, given)
    assert fault["error"] == "plan.other_provider"


def test_only_what_is_ones_own_can_be_used(
    service: Service, member: Client, trigger_id: str, plan: Any
) -> None:
    stranger = service.client()
    own_trigger, own_plan = make_trigger(stranger), stranger.plan(service.allowed / uuid.uuid4().hex)
    for given in (body(trigger_id, own_plan), body(own_trigger, plan)):
        stranger.refused("POST", "scheduled_operations", 404, given)
    made = create(member, trigger_id, plan)
    for method, given in (("GET", None), ("PUT", {"scheduled_operation": {"name": "x"}}), ("DELETE", None)):
        stranger.refused(method, f"scheduled_operations/{made['id']}", 404, given)
    stranger.refused("GET", f"scheduled_operations/{made['id']}/occurrences", 404)


def test_an_administrator_needs_rights_in_the_project_that_one_is_made_for(
    service: Service, member: Client, trigger_id: str, plan: dict[str, Any]
) -> None:
    admin = service.client(role="admin")
    path = f"/v1/{admin.project_id}/scheduled_operations?all_tenants=true"
    fault = admin.refused("POST", path, 403, body(trigger_id, plan))
    assert fault["error"] == "rights.none"
    assert member.get("scheduled_operations") == {"operations": []}
    with service.parts.database.write() as uow:
        user_id = uow.session.scalars(select(Token.user_id).where(Token.project_id == admin.project_id)).one()
        issue(uow, member.project_id, user_id, ["admin"], None, service.parts.clock.now())
    made = admin.post(path, body(trigger_id, plan), 201)["scheduled_operation"]
    assert made["project_id"] == member.project_id


def test_every_type_has_a_rule_that_is_known() -> None:
    known = {rule.name for rule in policies.RULES}
    assert {rule for type in TYPES.values() for rule in type.rules} <= known


def test_a_list_is_narrowed_by_plain_text(service: Service, member: Client, plan: dict[str, Any]) -> None:
    one, other = make_trigger(member), make_trigger(member)
    protect = create(member, one, plan)["id"]
    prune = create(member, other, plan, name="tidy", operation_type="prune", enabled=False)["id"]

    def listed(query: str) -> set[str]:
        return {each["id"] for each in member.get(f"scheduled_operations?{query}")["operations"]}

    assert listed("") == {protect, prune}
    assert listed("name=tid") == {prune}
    assert listed("name=.") == set()
    assert listed("operation_type=protect") == {protect}
    assert listed(f"trigger_id={other}") == {prune}
    assert listed(f"operation_definition={plan['id']}") == {protect, prune}
    assert listed("enabled=false") == {prune}
    page = member.get("scheduled_operations?limit=1&sort=created_at:asc")
    assert [each["id"] for each in page["operations"]] == [protect]
    assert page["operations_links"][0]["rel"] == "next"


def test_a_change_is_seen_and_leaves_the_rest(member: Client, trigger_id: str, plan: dict[str, Any]) -> None:
    made = create(member, trigger_id, plan)
    path, other = f"scheduled_operations/{made['id']}", make_trigger(member)
    definition = {"provider_id": plan["provider_id"], "plan_id": plan["id"], "note": "new"}
    given = {
        "name": "n",
        "description": "d",
        "enabled": False,
        "operation_definition": definition,
        "trigger_id": other,
    }
    changed = member.call("PUT", path, {"scheduled_operation": given}).json["scheduled_operation"]
    assert {name: changed[name] for name in given} == given
    assert changed["next_fire_time"] is None
    assert member.get(path)["scheduled_operation"] == changed
    assert member.call("DELETE", f"triggers/{trigger_id}").status_int == 204
    again = member.call("PUT", path, {"scheduled_operation": {"enabled": True}}).json["scheduled_operation"]
    assert (again["enabled"], again["name"]) == (True, "n")


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({}, 400),
        ({"operation_type": "verify"}, 400),
        ({"enabled": None}, 400),
        ({"operation_definition": {"provider_id": MEMORY_ID, "plan_id": UNKNOWN_ID}}, 404),
        ({"trigger_id": UNKNOWN_ID}, 404),
    ],
)
def test_a_change_that_does_not_fit_changes_nothing(
    member: Client, trigger_id: str, plan: dict[str, Any], given: dict[str, Any], status: int
) -> None:
    path = f"scheduled_operations/{create(member, trigger_id, plan)['id']}"
    before = member.get(path)
    member.refused("PUT", path, status, {"scheduled_operation": given})
    assert member.get(path) == before


def test_what_lets_one_run_needs_the_rule_of_what_it_does(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text('"provider:checkpoint_create": "role:admin"\n')
    with running(tmp_path, policy=policy) as service:
        member = service.client()
        admin = service.client(member.project_id, "admin")
        plan, trigger_id = member.plan(service.allowed), make_trigger(member)
        member.refused("POST", "scheduled_operations", 403, body(trigger_id, plan))
        path = f"scheduled_operations/{create(admin, trigger_id, plan)['id']}"
        before = member.get(path)
        for given in (
            {"operation_definition": {"provider_id": plan["provider_id"], "plan_id": plan["id"]}},
            {"trigger_id": make_trigger(member)},
            {"enabled": True},
        ):
            member.refused("PUT", path, 403, {"scheduled_operation": given})
            assert member.get(path) == before
            assert admin.call("PUT", path, {"scheduled_operation": given}).status_int == 200
            before = member.get(path)
        for given in ({"name": "n"}, {"description": "d"}, {"enabled": False}):
            assert member.call("PUT", path, {"scheduled_operation": given}).status_int == 200


def test_who_may_not_delete_lets_no_retention_do_so(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text('"provider:checkpoint_delete": "role:admin"\n')
    with running(tmp_path, policy=policy) as service:
        member = service.client()
        admin = service.client(member.project_id, "admin")
        plan, trigger_id = member.plan(service.allowed), make_trigger(member)
        ids = {"provider_id": plan["provider_id"], "plan_id": plan["id"]}
        create(member, trigger_id, plan)
        type = {"operation_type": "retention_protect"}
        member.refused("POST", "scheduled_operations", 403, body(trigger_id, plan, **type))
        path = f"scheduled_operations/{create(admin, trigger_id, plan, **type)['id']}"
        before = member.get(path)
        wide = {"operation_definition": {**ids, "max_backups": 1, "retention_scope": "plan"}}
        for given in (wide, {"enabled": True}):
            member.refused("PUT", path, 403, {"scheduled_operation": given})
            assert member.get(path) == before
        assert admin.call("PUT", path, {"scheduled_operation": wide}).status_int == 200


def test_a_deleted_one_is_gone(member: Client, trigger_id: str, plan: dict[str, Any]) -> None:
    path = f"scheduled_operations/{create(member, trigger_id, plan)['id']}"
    assert member.call("DELETE", path).status_int == 204
    member.refused("GET", path, 404)
    member.refused("DELETE", path, 404)
    assert member.get("scheduled_operations") == {"operations": []}


def test_a_plan_that_is_used_cannot_be_deleted(member: Client, trigger_id: str, plan: dict[str, Any]) -> None:
    made = create(member, trigger_id, plan)
    fault = member.refused("DELETE", f"plans/{plan['id']}", 409)
    assert fault["error"] == "plan.scheduled"
    assert made["id"] in fault["message"]
    member.call("DELETE", f"scheduled_operations/{made['id']}")
    assert member.call("DELETE", f"plans/{plan['id']}").status_int == 204


def test_no_operation_is_left_with_a_plan_that_was_deleted(shared: Service) -> None:
    client = shared.client()
    trigger_id = make_trigger(client)
    plans = [client.plan(shared.allowed / f"data{number}") for number in range(16)]

    def deletion(plan: dict[str, Any]) -> Any:
        return lambda own: own.call("DELETE", f"plans/{plan['id']}").status_int

    def creation(plan: dict[str, Any]) -> Any:
        return lambda own: own.call("POST", "scheduled_operations", body(trigger_id, plan)).status_int

    for part in (plans[:8], plans[8:]):
        statuses = together(shared, client, [make(plan) for plan in part for make in (creation, deletion)])
        for number in range(len(part)):
            assert statuses[2 * number : 2 * number + 2] in ([201, 409], [404, 204])
    left = {each["id"] for each in client.get("plans")["plans"]}
    used = client.get("scheduled_operations")["operations"]
    assert {each["operation_definition"]["plan_id"] for each in used} == left
