"""Checkpoints: started, shown, listed and deleted. Most wait here for a worker that never comes."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from protectd.model.models import Checkpoint
from protectd.model.repositories.base import Page
from tests.fakes.service import FILES_ID, MEMORY_ID, Client, Service, run_body

UNKNOWN_ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


@pytest.fixture
def path(service: Service) -> Path:
    return service.allowed / uuid.uuid4().hex


@pytest.fixture
def plan(member: Client, path: Path) -> dict[str, Any]:
    return member.plan(path)


def url(checkpoint: dict[str, Any]) -> str:
    return f"providers/{checkpoint['protection_plan']['provider_id']}/checkpoints/{checkpoint['id']}"


def place(service: Service, checkpoint: dict[str, Any], status: str) -> None:
    """Put a checkpoint into a state that a worker would bring it to."""
    with service.parts.database.write() as uow:
        uow.checkpoints.get(checkpoint["id"]).status = status


# --- started ---


def test_starting_one_is_answered_at_once_with_where_to_look(member: Client, plan: dict[str, Any]) -> None:
    body = {"checkpoint": {"plan_id": plan["id"], "extra-info": None}}
    answer = member.call("POST", f"providers/{MEMORY_ID}/checkpoints", body)
    checkpoint = answer.json["checkpoint"]
    assert answer.status_int == 202
    assert answer.headers["Location"].endswith(f"/v1/{member.project_id}/{url(checkpoint)}")
    assert answer.headers["X-Protectd-Dispatch"] == "queue"
    assert checkpoint["status"] == "PENDING"
    assert checkpoint["progress"]["phase"] == "waiting"
    assert checkpoint["protection_plan"]["provider_id"] == MEMORY_ID
    shown = member.get(url(checkpoint))["checkpoint"]
    assert shown | {"progress": checkpoint["progress"]} == checkpoint


def test_the_plan_is_frozen_with_what_its_resources_need(
    service: Service, member: Client, path: Path
) -> None:
    wanted = {"instance": {"name": "n", "properties": {"path": str(path)}}}
    instance = member.post("protectables/directory/instances", wanted, 201)["instance"]
    resource = {"id": instance["id"], "type": "directory", "name": "registered"}
    checkpoint = member.checkpoint(member.plan(path, resources=[resource]))
    (frozen,) = checkpoint["protection_plan"]["resources"]
    assert json.loads(frozen.pop("extra_info")) == {"path": str(path)}
    assert frozen == resource
    with service.parts.database.read() as uow:
        row = uow.checkpoints.get(checkpoint["id"])
    assert row.host == service.parts.host


@pytest.mark.parametrize("key", ["extra-info", "extra_info"])
def test_extra_info_is_kept_under_either_spelling(member: Client, plan: dict[str, Any], key: str) -> None:
    checkpoint = member.checkpoint(plan, **{key: {"k": "v", "k2": None, "n": 1, "b": True}})
    assert json.loads(checkpoint["extra_info"]) == {"k": "v", "k2": None, "n": 1, "b": True}


def test_without_extra_info_it_was_made_by_hand(member: Client, plan: dict[str, Any]) -> None:
    assert json.loads(member.checkpoint(plan)["extra_info"]) == {"created_by": "manual"}


def test_the_resource_graph_is_left_out_while_there_is_none(member: Client, plan: dict[str, Any]) -> None:
    assert "resource_graph" not in member.checkpoint(plan)


def test_a_task_is_written_with_it_and_announced(
    service: Service, member: Client, plan: dict[str, Any]
) -> None:
    checkpoint = member.checkpoint(plan)
    service.parts.dispatcher.flush()
    with service.parts.database.read() as uow:
        (task,) = uow.tasks.history(Page(), member.project_id, {"checkpoint_id": checkpoint["id"]})
    assert (task.operation, task.method, task.state) == ("protect", "process_checkpoint", "pending")
    assert (task.project_id, task.plan_id, task.provider_id) == (member.project_id, plan["id"], MEMORY_ID)
    assert task.sent_count == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "checkpoint.plan_id"),
        ({"plan_id": "x"}, "checkpoint.plan_id"),
        ({"plan_id": UNKNOWN_ID, "extra-info": []}, "checkpoint.extra-info"),
        ({"plan_id": UNKNOWN_ID, "extra-info": {"k": {}}}, "checkpoint.extra-info.k"),
        ({"plan_id": UNKNOWN_ID, "extra-info": {"k": 1.5}}, "checkpoint.extra-info.k"),
        ({"plan_id": UNKNOWN_ID, "extra_info": {"k/l": 1}}, "checkpoint.extra_info.k/l"),
        ({"plan_id": UNKNOWN_ID, "more": 1}, "checkpoint.more"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(member: Client, body: dict[str, Any], field: str) -> None:
    fault = member.refused("POST", f"providers/{MEMORY_ID}/checkpoints", 400, {"checkpoint": body})
    assert fault["field"] == field


def test_the_plan_has_to_be_the_projects_and_the_providers(
    service: Service, member: Client, plan: dict[str, Any]
) -> None:
    body = {"checkpoint": {"plan_id": plan["id"]}}
    fault = member.refused("POST", f"providers/{FILES_ID}/checkpoints", 400, body)
    assert (fault["error"], fault["field"]) == ("plan.other_provider", "checkpoint.plan_id")
    member.refused("POST", f"providers/{UNKNOWN_ID}/checkpoints", 404, body)
    stranger = service.client()
    fault = stranger.refused("POST", f"providers/{MEMORY_ID}/checkpoints", 404, body)
    assert (fault["error"], fault["field"]) == ("plan.not_found", "checkpoint.plan_id")


def test_a_member_cannot_run_what_only_an_administrator_may_read(service: Service) -> None:
    admin = service.client(role="admin")
    plan = admin.plan("/etc")
    member = service.client(admin.project_id)
    body = {"checkpoint": {"plan_id": plan["id"]}}
    fault = member.refused("POST", f"providers/{MEMORY_ID}/checkpoints", 403, body)
    assert (fault["error"], fault["field"]) == ("path.not_allowed", "checkpoint.plan_id")
    admin.checkpoint(plan)


def test_a_plan_whose_resource_is_registered_no_more_cannot_run(service: Service, member: Client) -> None:
    properties = {"path": str(service.allowed / "soon-gone")}
    instance = {"instance": {"name": "n", "properties": properties}}
    known = member.post("protectables/directory/instances", instance, 201)["instance"]
    plan = member.plan("/x", resources=[{"id": known["id"], "type": "directory", "name": "n"}])
    with service.parts.database.write() as uow:
        uow.instances.delete(uow.instances.get(known["id"]))
    body = {"checkpoint": {"plan_id": plan["id"]}}
    fault = member.refused("POST", f"providers/{MEMORY_ID}/checkpoints", 409, body)
    assert (fault["error"], fault["field"]) == ("resource.gone", "checkpoint.plan_id")


# --- shown and listed ---


def test_another_projects_checkpoint_is_not_there(
    service: Service, member: Client, plan: dict[str, Any]
) -> None:
    checkpoint = member.checkpoint(plan)
    for stranger in (service.client(), service.client(role="admin")):
        for method in ("GET", "DELETE"):
            assert stranger.refused(method, url(checkpoint), 404)["error"] == "checkpoint.not_found"
        assert stranger.get(f"providers/{MEMORY_ID}/checkpoints") == {"checkpoints": []}


def test_who_works_for_another_project_is_sent_to_where_its_work_can_be_seen(
    service: Service, member: Client, plan: dict[str, Any]
) -> None:
    boss = service.client(role="admin")
    where = f"providers/{MEMORY_ID}/checkpoints?all_tenants=1"
    made = boss.call("POST", where, {"checkpoint": {"plan_id": plan["id"]}})
    place(service, made.json["checkpoint"], "available")
    body = run_body(made.json["checkpoint"], parameters={"directory": {"path": str(service.allowed / "x")}})
    restored = boss.call("POST", "restores?all_tenants=1", {"restore": body})
    checked = boss.call("POST", "verifications?all_tenants=1", {"verification": body | {"parameters": {}}})
    for answer, key in ((made, "checkpoint"), (restored, "restore"), (checked, "verification")):
        assert answer.status_int == 202, answer.json
        shown = boss.get(answer.headers["Location"].partition("/v1/" + boss.project_id + "/")[2])[key]
        assert (shown["id"], shown["project_id"]) == (answer.json[key]["id"], member.project_id)


def test_it_belongs_to_one_provider(member: Client, plan: dict[str, Any]) -> None:
    checkpoint = member.checkpoint(plan)
    member.refused("GET", f"providers/{FILES_ID}/checkpoints/{checkpoint['id']}", 404)
    assert member.get(f"providers/{FILES_ID}/checkpoints") == {"checkpoints": []}


def listed(client: Client, query: str = "") -> list[str]:
    found = client.get(f"providers/{MEMORY_ID}/checkpoints?{query}")["checkpoints"]
    return [each["id"] for each in found]


def test_lists_are_filtered_by_plan_day_and_status(
    service: Service, member: Client, plan: dict[str, Any], path: Path
) -> None:
    one, two = member.checkpoint(plan), member.checkpoint(member.plan(path))
    today = service.parts.clock.now().date().isoformat()
    assert listed(member) == [two["id"], one["id"]]
    assert listed(member, f"plan_id={plan['id']}") == [one["id"]]
    assert listed(member, f"start_date={today}&end_date={today}&sort=created_at:asc") == [
        one["id"],
        two["id"],
    ]
    assert listed(member, "end_date=2020-01-31") == []
    assert listed(member, "start_date=2020-01-31T00:00:00%2B02:00") == [two["id"], one["id"]]
    assert listed(member, "status=available") == []


@pytest.mark.parametrize(
    "query", ["start_date=x", "end_date=2020-13-01", "start_date=", "end_date=9999-12-31T"]
)
def test_a_day_that_is_none_is_refused(member: Client, query: str) -> None:
    fault = member.refused("GET", f"providers/{MEMORY_ID}/checkpoints?{query}", 400)
    assert fault["field"] == query.partition("=")[0]


def test_the_next_page_is_linked_below_the_provider(member: Client, plan: dict[str, Any]) -> None:
    made = [member.checkpoint(plan)["id"] for _ in range(3)]
    first = member.get(f"providers/{MEMORY_ID}/checkpoints?limit=2&plan_id={plan['id']}")
    (link,) = first["checkpoints_links"]
    assert link["rel"] == "next"
    second = member.get(link["href"].removeprefix("http://localhost:80"))
    both = first["checkpoints"] + second["checkpoints"]
    assert [each["id"] for each in both] == made[::-1]
    assert "checkpoints_links" not in second


def test_an_administrator_lists_those_of_all_projects_or_of_one(
    service: Service, member: Client, plan: dict[str, Any]
) -> None:
    mine, boss = member.checkpoint(plan), service.client(role="admin")
    assert mine["id"] not in listed(boss)
    assert mine["id"] in listed(boss, "all_tenants=1")
    assert listed(boss, f"all_tenants=true&project_id={member.project_id}") == [mine["id"]]
    assert listed(boss, f"project_id={member.project_id}") == []
    assert listed(service.client(), f"all_tenants=1&project_id={member.project_id}") == []


def test_copies_of_one_are_found_by_it(service: Service, member: Client, plan: dict[str, Any]) -> None:
    source, copy = member.checkpoint(plan), member.checkpoint(plan)
    with service.parts.database.write() as uow:
        uow.checkpoints.get(copy["id"]).source_id = source["id"]
    assert listed(member, f"source_id={source['id']}") == [copy["id"]]
    assert member.get(url(copy))["checkpoint"]["source_id"] == source["id"]


def test_it_tells_of_holds_and_proofs_and_of_who_asked_for_it(
    service: Service, member: Client, plan: dict[str, Any]
) -> None:
    checkpoint = member.checkpoint(plan)
    fresh = ("scheduled_operation_id", "source_id", "hold", "verified_at", "verified_depth")
    fresh += ("proven_depth", "proven_at")
    assert [checkpoint[key] for key in (*fresh, "proven_recovery_s")] == [None] * 8
    moment = datetime(2026, 1, 31, 2, 0, 3, 5, UTC)
    with service.parts.database.write() as uow:
        row = uow.checkpoints.get(checkpoint["id"])
        row.scheduled_operation_id = UNKNOWN_ID
        row.hold_reason, row.held_by, row.held_at = "audit", "someone", moment
        row.verified_at, row.verified_depth, row.proven_recovery_s = moment, "restore", 2.5
    shown = member.get(url(checkpoint))["checkpoint"]
    text = "2026-01-31T02:00:03.000005"
    assert shown["scheduled_operation_id"] == UNKNOWN_ID
    assert shown["hold"] == {"reason": "audit", "held_by": "someone", "held_at": text}
    assert (shown["verified_at"], shown["verified_depth"]) == (text, "restore")
    assert shown["proven_recovery_s"] == 2.5
    datetime.strptime(shown["created_at"], "%Y-%m-%dT%H:%M:%S.%f")


@pytest.mark.parametrize("query", ["", "all_tenants=1", "plan_id=x"])
def test_no_page_of_a_list_is_sorted_by_hand(on_sqlite: Service, query: str) -> None:
    """However deep it lies among however many: an index gives the order."""
    boss = on_sqlite.client(role="admin")
    made = boss.checkpoint(boss.plan(on_sqlite.allowed / uuid.uuid4().hex))
    with on_sqlite.counted_statements() as seen:
        listed(boss, f"{query}&marker={made['id']}")
    page = next(each for each in seen if "FROM checkpoints" in each and "ORDER BY" in each)
    with on_sqlite.parts.database.read() as uow:
        driver = uow.session.connection().connection.cursor()
        plan = driver.execute(f"EXPLAIN QUERY PLAN {page}", ["x"] * page.count("?")).fetchall()
    words = " / ".join(row[-1] for row in plan)
    assert "USING INDEX" in words
    assert "TEMP B-TREE FOR ORDER BY" not in words, words


# --- deleted ---


def test_deleting_shows_at_once_and_is_a_task(service: Service, member: Client, plan: dict[str, Any]) -> None:
    checkpoint = member.checkpoint(plan)
    place(service, checkpoint, "available")
    answer = member.call("DELETE", url(checkpoint))
    assert (answer.status_int, answer.json) == (202, {})
    assert member.get(url(checkpoint))["checkpoint"]["status"] == "deleting"
    fault = member.refused("DELETE", url(checkpoint), 409)
    assert "deleting" in fault["message"]


@pytest.mark.parametrize("status", ["PENDING", "protecting", "deleting"])
def test_a_busy_checkpoint_is_kept_and_says_why(
    service: Service, member: Client, plan: dict[str, Any], status: str
) -> None:
    checkpoint = member.checkpoint(plan)
    place(service, checkpoint, status)
    fault = member.refused("DELETE", url(checkpoint), 409)
    assert fault["error"] == "checkpoint.busy"
    assert status in fault["message"]
    assert member.get(url(checkpoint))["checkpoint"]["status"] == status


@pytest.mark.parametrize("status", ["available", "error", "error-deleting"])
def test_a_checkpoint_at_rest_can_be_deleted(
    service: Service, member: Client, plan: dict[str, Any], status: str
) -> None:
    checkpoint = member.checkpoint(plan)
    place(service, checkpoint, status)
    assert member.call("DELETE", url(checkpoint)).status_int == 202


def test_a_checkpoint_that_is_being_restored_or_verified_is_pinned(
    service: Service, member: Client, plan: dict[str, Any]
) -> None:
    for key in ("restore", "verification"):
        checkpoint = member.checkpoint(plan)
        place(service, checkpoint, "available")
        member.post(f"{key}s", {key: run_body(checkpoint)}, 202)
        fault = member.refused("DELETE", url(checkpoint), 409)
        assert fault["error"] == "checkpoint.pinned"
        assert member.get(url(checkpoint))["checkpoint"]["status"] == "available"


def test_a_deleted_checkpoint_is_shown_but_not_listed(
    service: Service, member: Client, plan: dict[str, Any]
) -> None:
    checkpoint = member.checkpoint(plan)
    place(service, checkpoint, "deleted")
    assert member.get(url(checkpoint))["checkpoint"]["status"] == "deleted"
    assert checkpoint["id"] not in listed(member)
    member.refused("DELETE", url(checkpoint), 404)


def test_a_list_costs_the_same_statements_however_long_it_is(
    service: Service, member: Client, plan: dict[str, Any]
) -> None:
    member.checkpoint(plan)
    one = statements(service, member)
    for _ in range(10):
        member.checkpoint(plan)
    assert statements(service, member) == one


def statements(service: Service, client: Client) -> int:
    with service.counted_statements() as count:
        listed(client)
    return len(count)


def test_starting_one_costs_few_statements_and_one_commit(
    service: Service, member: Client, plan: dict[str, Any]
) -> None:
    with service.counted_statements() as seen:
        member.checkpoint(plan)
    assert len(seen) <= 16
    inserts = [each for each in seen if each.startswith(f"INSERT INTO {Checkpoint.__tablename__} ")]
    assert len(inserts) == 1


# --- done, in one process ---


def test_a_checkpoint_in_direct_mode_has_ended_when_the_answer_comes(direct: Service) -> None:
    member = direct.client()
    data = direct.directory("checkpoint-direct")
    checkpoint = member.checkpoint(member.plan(data))
    assert checkpoint["status"] == "available", checkpoint["error"]
    assert checkpoint["files"] == 2
    assert checkpoint["partial"] is False
    assert [each["status"] for each in checkpoint["resources"]] == ["available"]
    nodes, edges = json.loads(checkpoint["resource_graph"])
    assert len(nodes) == 1
    assert edges == []
    member.call("DELETE", url(checkpoint))
    assert member.ended(url(checkpoint), "checkpoint")["status"] == "deleted"


def test_a_missing_directory_ends_in_error_with_a_reason(direct: Service) -> None:
    member = direct.client()
    checkpoint = member.checkpoint(member.plan(direct.allowed / "absent"))
    assert checkpoint["status"] == "error"
    assert checkpoint["error"]["code"] == "resource.unavailable"
    assert checkpoint["resources"][0]["reason"]


def test_its_plan_may_go_and_it_can_still_be_restored(direct: Service, tmp_path: Path) -> None:
    member = direct.client()
    plan = member.plan(direct.directory("orphan"))
    checkpoint = member.checkpoint(plan)
    assert member.call("DELETE", f"plans/{plan['id']}").status_int == 204
    target = direct.allowed / "orphan-restored"
    answer = member.restore(checkpoint, parameters={"directory": {"path": str(target)}})
    assert answer["restore"]["status"] == "success", answer
    assert (target / "below" / "two.txt").read_text() == "two\n"
