"""The `karbor` command of python-karborclient 2.1.0, unmodified: each noun in the order a user would act."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from tests.fakes.published_client import Caller, Refused, caller, rows, table
from tests.fakes.service import FILES_ID, Service

UNKNOWN_ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


@pytest.fixture
def user(direct: Service, endpoint: str) -> Caller:
    return caller(direct, endpoint)


@pytest.fixture
def admin(direct: Service, endpoint: str) -> Caller:
    return caller(direct, endpoint, role="admin")


@pytest.fixture
def source(direct: Service) -> Path:
    return direct.directory(uuid.uuid4().hex)


def registered(user: Caller, path: Path) -> str:
    """The id of a directory that the project knows; the command looks each resource of a plan up first."""
    body = {"instance": {"name": "data", "properties": {"path": str(path)}}}
    return str(user.client.post("protectables/directory/instances", body, 201)["instance"]["id"])


def planned(user: Caller, path: Path, *options: str) -> dict[str, str]:
    resource = f"{registered(user, path)}=directory=data"
    return table(user.karbor("plan-create", "nightly", FILES_ID, resource, *options))


def protected(user: Caller, path: Path) -> str:
    plan = planned(user, path)
    return table(user.karbor("checkpoint-create", FILES_ID, plan["id"]))["id"]


def test_providers(user: Caller) -> None:
    assert [row[0] for row in rows(user.karbor("provider-list", "--name", "files"))] == [FILES_ID]
    assert len(rows(user.karbor("provider-list", "--limit", "1", "--sort", "name:desc"))) == 1
    shown = table(user.karbor("provider-show", FILES_ID))
    assert shown["name"] == "files"
    assert set(json.loads(shown["extended_info_schema"])) >= {"options_schema", "restore_schema"}


def test_protectables(user: Caller, source: Path) -> None:
    assert ["directory"] in rows(user.karbor("protectable-list"))
    assert table(user.karbor("protectable-show", "directory"))["dependent_types"] == "[]"
    id = registered(user, source)
    options = ("--type", "directory", "--parameters", "region_name=R1", "zone", "--limit", "3")
    (listed,) = rows(user.karbor("protectable-list-instances", "directory", *options))
    assert (listed[:3], str(source) in listed[4]) == ([id, "directory", "data"], True)
    shown = table(user.karbor("protectable-show-instance", "directory", id, "--parameters", "zone=1"))
    assert (shown["name"], shown["dependent_resources"]) == ("data", "[]")


def test_plans(user: Caller, source: Path) -> None:
    options = ("--parameters", "resource_type=directory,excludes=cache:tmp", "--description", "of the night")
    plan = planned(user, source, *options)
    assert json.loads(plan["parameters"]) == {"directory": {"excludes": "cache:tmp"}}
    assert json.loads(plan["resources"])[0]["name"] == "data"
    shown = table(user.karbor("plan-show", plan["id"]))
    assert (shown["description"], shown["status"]) == ("of the night", "suspended")
    assert rows(user.karbor("plan-list", "--name", "night", "--sort", "name:asc"))[0][:3] == [
        plan["id"],
        "nightly",
        "of the night",
    ]
    changed = table(user.karbor("plan-update", plan["id"], "--name", "daily", "--status", "started"))
    assert (changed["name"], changed["status"]) == ("daily", "started")
    assert table(user.karbor("plan-update", "daily", "--status", "suspended"))["status"] == "suspended"
    user.karbor("plan-delete", plan["id"])
    assert rows(user.karbor("plan-list")) == []
    with pytest.raises(Refused, match="No plan with a name or ID"):
        user.karbor("plan-delete", UNKNOWN_ID)


def test_a_plan_is_not_made_of_what_is_not_there(user: Caller, source: Path) -> None:
    with pytest.raises(Refused, match="can not be found"):
        user.karbor("plan-create", "nightly", FILES_ID, f"{UNKNOWN_ID}=directory=data")


def test_a_resource_may_say_where_it_is(user: Caller, source: Path) -> None:
    resource = f"{registered(user, source)}=directory=data=" + json.dumps({"path": str(source)})
    plan = table(user.karbor("plan-create", "nightly", FILES_ID, resource))
    assert json.loads(plan["resources"])[0]["extra_info"] == {"path": str(source)}


def test_checkpoints(user: Caller, source: Path) -> None:
    plan = planned(user, source)
    made = table(
        user.karbor("checkpoint-create", FILES_ID, plan["id"], "--extra_info", "why=upgrade", "bare")
    )
    shown = table(user.karbor("checkpoint-show", FILES_ID, made["id"]))
    assert (shown["status"], json.loads(shown["extra_info"])) == (
        "available",
        {"why": "upgrade", "bare": None},
    )
    assert "directory" in shown["resource_graph"]
    day = shown["created_at"][:10]
    options = ("--plan_id", plan["id"], "--start_date", day, "--end_date", day, "--sort", "created_at:asc")
    listed = rows(user.karbor("checkpoint-list", FILES_ID, *options))
    assert listed[0][:4] == [made["id"], user.client.project_id, "available", "Name: nightly"]
    user.karbor("checkpoint-delete", FILES_ID, made["id"])
    assert table(user.karbor("checkpoint-show", FILES_ID, made["id"]))["status"] == "deleted"
    with pytest.raises(Refused, match="checkpoint not found"):
        user.karbor("checkpoint-delete", FILES_ID, UNKNOWN_ID)


def test_restores(user: Caller, source: Path) -> None:
    checkpoint, target = protected(user, source), source.with_name(f"{source.name}-back")
    options = ("--parameters", f"resource_type=directory,path={target},overwrite=true")
    made = table(user.karbor("restore-create", FILES_ID, checkpoint, *options))
    assert table(user.karbor("restore-show", made["id"]))["status"] == "success"
    assert (target / "one.txt").read_text() == "one\n"
    (listed,) = [row for row in rows(user.karbor("restore-list", "--status", "success")) if row[0]]
    assert (listed[0], listed[4], listed[6]) == (made["id"], "-", "success")


def test_verifications(user: Caller, source: Path) -> None:
    made = table(user.karbor("verification-create", FILES_ID, protected(user, source)))
    assert table(user.karbor("verification-show", made["id"]))["status"] == "success"
    assert rows(user.karbor("verification-list", "--limit", "1"))[0][0] == made["id"]


def test_operation_logs(user: Caller, source: Path) -> None:
    checkpoint = protected(user, source)
    (listed,) = rows(user.karbor("operationlog-list", "--status", "available"))
    assert (listed[1], listed[2], listed[7]) == ("protect", checkpoint, "available")
    assert table(user.karbor("operationlog-show", listed[0]))["operation_type"] == "protect"


def test_services(admin: Caller, user: Caller, direct: Service) -> None:
    with direct.parts.database.write() as uow:
        uow.services.register("shell-host", "protectd-worker", "protectd-worker")
    (listed,) = rows(admin.karbor("service-list", "--host", "shell-host"))
    assert listed[1:5] == ["protectd-worker", "shell-host", "enabled", "up"]
    disabled = rows(admin.karbor("service-disable", listed[0], "--reason", "moves house"))
    assert (disabled[0][3], disabled[0][6]) == ("disabled", "moves house")
    assert rows(admin.karbor("service-enable", listed[0]))[0][3] == "enabled"
    with pytest.raises(Refused, match="403"):
        user.karbor("service-list")


def test_an_administrator_lists_another_project(admin: Caller, user: Caller, source: Path) -> None:
    plan = planned(user, source)
    assert rows(admin.karbor("plan-list", "--tenant", user.client.project_id))[0][0] == plan["id"]
    assert plan["id"] in [row[0] for row in rows(admin.karbor("plan-list", "--all-tenants"))]
    assert rows(admin.karbor("plan-list")) == []


# --- schedules, quotas, reset ---

DAILY = "format=crontab,pattern=0 3 * * *,start_time=2030-01-01 00:00:00,window=900"


def test_triggers(user: Caller) -> None:
    made = table(user.karbor("trigger-create", "daily", "time", DAILY))
    assert json.loads(made["properties"])["window"] == "900"
    assert table(user.karbor("trigger-show", made["id"]))["name"] == "daily"
    assert rows(user.karbor("trigger-list", "--name", "daily", "--type", "time"))[0][0] == made["id"]
    assert table(user.karbor("trigger-update", made["id"], "--name", "early"))["name"] == "early"
    later = DAILY.replace("0 3", "30 4")
    changed = table(user.karbor("trigger-update", made["id"], "--properties", later))
    assert json.loads(changed["properties"])["pattern"] == "30 4 * * *"
    user.karbor("trigger-delete", made["id"])
    assert rows(user.karbor("trigger-list")) == []


def test_scheduled_operations(user: Caller, source: Path) -> None:
    plan = planned(user, source)
    trigger = table(user.karbor("trigger-create", "daily", "time", DAILY))["id"]
    definition = f"plan_id={plan['id']},provider_id={FILES_ID},max_backups=3,retention_duration=10"
    command = ("scheduledoperation-create", "nightly", "retention_protect", trigger, definition)
    made = table(user.karbor(*command))
    shown = table(user.karbor("scheduledoperation-show", made["id"]))
    assert json.loads(shown["operation_definition"])["max_backups"] == "3"
    listed = rows(user.karbor("scheduledoperation-list", "--operation_type", "retention_protect"))
    assert listed[0][:2] == [made["id"], "nightly"]
    with pytest.raises(Refused):
        user.karbor("trigger-delete", trigger)
    user.karbor("scheduledoperation-delete", made["id"])
    user.karbor("trigger-delete", trigger)


def test_quotas(admin: Caller) -> None:
    project = str(uuid.uuid4())
    assert table(admin.karbor("quota-defaults", "--tenant", project))["plans"] == "50"
    assert table(admin.karbor("quota-update", project, "--plans", "7"))["plans"] == "7"
    assert table(admin.karbor("quota-show", "--tenant", project))["plans"] == "7"
    detail = table(admin.karbor("quota-show", "--tenant", project, "--detail"))
    assert "limit = 7" in detail["plans"]
    assert table(admin.karbor("quota-class-update", "shells", "--plans", "3"))["plans"] == "3"
    assert table(admin.karbor("quota-class-show", "shells"))["id"] == "shells"


def test_the_state_of_a_checkpoint_is_reset(admin: Caller, source: Path) -> None:
    checkpoint = protected(admin, source)
    for option, state in (((), "error"), (("--available",), "available")):
        admin.karbor("checkpoint-reset-state", FILES_ID, checkpoint, *option)
        assert table(admin.karbor("checkpoint-show", FILES_ID, checkpoint))["status"] == state
    with pytest.raises(Refused, match="checkpoint not found"):
        admin.karbor("checkpoint-reset-state", FILES_ID, UNKNOWN_ID)
