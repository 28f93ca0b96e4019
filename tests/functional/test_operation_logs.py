"""Operation logs: what was asked for, by whom it can be seen, and what came of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from protectd.model.models import Task
from protectd.model.repositories.logged import WORDS
from tests.fakes.service import Client, Service, run_body


def logs(client: Client, query: str = "") -> list[dict[str, Any]]:
    return list(client.get(f"operation_logs?{query}")["operation_logs"])


def words(client: Client, query: str = "") -> list[tuple[str, str]]:
    return [(each["operation_type"], each["status"]) for each in logs(client, query)]


@pytest.fixture(scope="module")
def owner(direct: Service) -> Client:
    """A project that has done one of each."""
    client = direct.client()
    checkpoint = client.checkpoint(client.plan(direct.directory("logged")))
    client.restore(checkpoint)
    client.post("verifications", {"verification": run_body(checkpoint)}, 202)
    url = f"providers/{checkpoint['protection_plan']['provider_id']}/checkpoints/{checkpoint['id']}"
    client.call("DELETE", url)
    client.ended(url, "checkpoint")
    return client


def test_each_operation_has_its_own_word_and_the_contracts_status(owner: Client) -> None:
    assert words(owner, "sort=created_at:asc") == [
        ("protect", "available"),
        ("restore", "fail"),
        ("verify", "success"),
        ("delete", "deleted"),
    ]


def test_a_line_names_its_subject_its_times_and_its_error(owner: Client) -> None:
    (failed,) = logs(owner, "status=fail")
    shown = owner.get(f"operation_logs/{failed['id']}")["operation_log"]
    assert shown == failed
    assert shown["restore_id"] == owner.get("restores")["restores"][0]["id"]
    assert shown["error_info"]
    assert shown["started_at"] <= shown["ended_at"]
    assert {"checkpoint_id", "plan_id", "provider_id", "scheduled_operation_id", "extra_info"} <= set(shown)


def test_no_operation_ends_in_a_word_of_those_that_go_on(direct: Service) -> None:
    """So a filter by status asks for the one or for the other."""
    doers = [make() for make in direct.parts.operations.values()]
    ends = {word for doer in doers for word in (doer.success_word, doer.failure_word)}
    assert ends.isdisjoint(WORDS.values())


@pytest.mark.parametrize(
    "query", ["", "status=error", "status=PENDING", "operation_type=restore", "all_tenants=1"]
)
def test_no_page_of_a_list_is_sorted_by_hand(on_sqlite: Service, query: str) -> None:
    """However deep it lies among however many: an index gives the order."""
    client = on_sqlite.client(role="admin")
    client.checkpoint(client.plan(on_sqlite.allowed / "any"))
    (line,) = logs(client)
    with on_sqlite.counted_statements() as seen:
        logs(client, f"{query}&marker={line['id']}")
    page = next(each for each in seen if "FROM tasks" in each and "ORDER BY" in each)
    with on_sqlite.parts.database.read() as uow:
        driver = uow.session.connection().connection.cursor()
        plan = driver.execute(f"EXPLAIN QUERY PLAN {page}", ["x"] * page.count("?")).fetchall()
    told = " / ".join(row[-1] for row in plan)
    assert "USING INDEX" in told
    assert "TEMP B-TREE FOR ORDER BY" not in told, told


def test_lines_can_be_narrowed(owner: Client) -> None:
    (line,) = logs(owner, "operation_type=restore")
    assert words(owner, f"restore_id={line['restore_id']}") == [("restore", "fail")]
    assert len(logs(owner, f"checkpoint_id={line['checkpoint_id']}")) == 4
    assert logs(owner, "status=nothing") == []
    assert len(logs(owner, f"plan_id={line['plan_id']}&limit=2")) == 2


def test_another_projects_lines_are_not_there(direct: Service, owner: Client) -> None:
    stranger = direct.client()
    assert logs(stranger) == []
    stranger.refused("GET", f"operation_logs/{logs(owner)[0]['id']}", 404)


def test_what_waits_is_found_by_the_status_it_shows(service: Service, member: Client, tmp_path: Path) -> None:
    member.checkpoint(member.plan(service.allowed / "waits"))
    assert words(member) == words(member, "status=PENDING") == [("protect", "PENDING")]
    assert words(member, "status=protecting") == []


def test_the_clean_up_of_a_vault_is_nobodys_operation(owner: Client) -> None:
    assert "prune" not in [operation for operation, _ in words(owner)]


# --- asked to end ---


@pytest.fixture
def waiting(service: Service, member: Client) -> dict[str, Any]:
    """A checkpoint that waits to be made."""
    return member.checkpoint(member.plan(service.allowed / "waiting"))


def url(checkpoint: dict[str, Any]) -> str:
    return f"providers/{checkpoint['protection_plan']['provider_id']}/checkpoints/{checkpoint['id']}"


def change(service: Service, log_id: str, **values: Any) -> None:
    """What a worker would write."""
    with service.parts.database.write() as uow:
        for name, value in values.items():
            setattr(uow.tasks.get(log_id), name, value)


def below(client: Client, location: str) -> str:
    return location.partition(f"/v1/{client.project_id}/")[2]


def test_what_waits_is_asked_to_end_and_says_so(member: Client, waiting: dict[str, Any]) -> None:
    (line,) = logs(member, f"checkpoint_id={waiting['id']}")
    assert line["cancel_requested_at"] is None
    answer = member.call("DELETE", f"operation_logs/{line['id']}")
    assert answer.status_int == 202
    asked = answer.json["operation_log"]
    assert asked["cancel_requested_at"]
    where = below(member, answer.headers["Location"])
    assert where == f"operation_logs/{line['id']}"
    assert member.get(where)["operation_log"] == asked
    again = member.call("DELETE", where).json["operation_log"]
    assert again["cancel_requested_at"] == asked["cancel_requested_at"]


def test_the_checkpoint_that_is_being_made_is_not_deleted_but_its_operation_is_found(
    member: Client, waiting: dict[str, Any]
) -> None:
    fault = member.refused("DELETE", url(waiting), 409)
    assert (fault["error"], "PENDING" in fault["message"]) == ("checkpoint.busy", True)
    (line,) = logs(member, f"checkpoint_id={waiting['id']}&operation_type=protect")
    assert member.call("DELETE", f"operation_logs/{line['id']}").status_int == 202


@pytest.mark.parametrize(("noun", "key"), [("restores", "restore"), ("verifications", "verification")])
def test_a_run_is_asked_to_end_by_its_own_name(
    service: Service, member: Client, waiting: dict[str, Any], noun: str, key: str
) -> None:
    with service.parts.database.write() as uow:
        uow.checkpoints.get(waiting["id"]).status = "available"
    target = {"directory": {"path": str(service.allowed / "target")}} if key == "restore" else {}
    run = member.post(noun, {key: run_body(waiting, parameters=target)}, 202)[key]
    answer = member.call("DELETE", f"{noun}/{run['id']}")
    line = member.get(below(member, answer.headers["Location"]))["operation_log"]
    assert (answer.status_int, line[f"{key}_id"]) == (202, run["id"])
    assert line["cancel_requested_at"]
    assert member.get(f"{noun}/{run['id']}")[key]["id"] == run["id"]
    stranger = service.client()
    assert stranger.refused("DELETE", f"{noun}/{run['id']}", 404)["error"] == f"{key}.not_found"


@pytest.mark.parametrize(("noun", "state"), [("operation_logs", "done"), ("restores", "failed")])
def test_what_has_ended_cannot_be_asked_to(owner: Client, noun: str, state: str) -> None:
    (failed,) = logs(owner, "status=fail")
    (protected,) = logs(owner, "operation_type=protect")
    id = protected["id"] if noun == "operation_logs" else failed["restore_id"]
    fault = owner.refused("DELETE", f"{noun}/{id}", 409)
    assert (fault["error"], state in fault["message"]) == ("operation.ended", True)


def test_a_run_whose_operation_is_purged_has_ended(
    service: Service, member: Client, waiting: dict[str, Any]
) -> None:
    with service.parts.database.write() as uow:
        uow.checkpoints.get(waiting["id"]).status = "available"
    run = member.post("verifications", {"verification": run_body(waiting)}, 202)["verification"]
    with service.parts.database.write() as uow:
        uow.session.query(Task).filter(Task.verification_id == run["id"]).delete()
    assert member.refused("DELETE", f"verifications/{run['id']}", 409)["error"] == "operation.ended"


def test_nobody_ends_another_projects_operation_nor_the_services_own(
    service: Service, member: Client, waiting: dict[str, Any]
) -> None:
    (line,) = logs(member)
    service.client().refused("DELETE", f"operation_logs/{line['id']}", 404)
    change(service, line["id"], operation="prune")
    member.refused("DELETE", f"operation_logs/{line['id']}", 404)


# --- attempts ---


def test_the_next_attempt_is_told_while_there_will_be_one(
    service: Service, member: Client, waiting: dict[str, Any]
) -> None:
    (line,) = logs(member)
    assert (line["attempts"], line["next_attempt_at"], line["progress"]["phase"]) == (0, None, "waiting")
    later = service.parts.clock.now() + timedelta(minutes=5)
    change(service, line["id"], attempts=2, not_before=later)
    (line,) = logs(member)
    assert (line["attempts"], line["progress"]["attempts"]) == (2, 2)
    assert line["next_attempt_at"] == later.replace(tzinfo=None).isoformat(timespec="microseconds")
    change(service, line["id"], state="running", progress={"phase": "saving", "done_bytes": 5})
    (line,) = logs(member)
    assert (line["next_attempt_at"], line["progress"]["done_bytes"]) == (None, 5)


def test_a_drill_is_told_from_the_real_thing(
    service: Service, member: Client, waiting: dict[str, Any]
) -> None:
    (line,) = logs(member)
    assert "simulated" not in line
    assert "simulated" not in member.get(url(waiting))["checkpoint"]
    change(service, line["id"], simulated=True)
    assert logs(member)[0]["simulated"] is True
    assert member.get(url(waiting))["checkpoint"]["simulated"] is True
