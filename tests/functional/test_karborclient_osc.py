"""`openstack data protection`, the plug-in of python-karborclient 2.1.0, unmodified."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.published_client import Caller, Refused, caller, table
from tests.fakes.service import FILES_ID, Service

UNKNOWN_ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
JSON = ("-f", "json")


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
    body = {"instance": {"name": "data", "properties": {"path": str(path)}}}
    return str(user.client.post("protectables/directory/instances", body, 201)["instance"]["id"])


def planned(user: Caller, path: Path, *options: str) -> dict[str, Any]:
    resource = f"{registered(user, path)}=directory=data"
    return dict(user.openstack("plan", "create", *JSON, "nightly", FILES_ID, resource, *options))


def protected(user: Caller, path: Path) -> str:
    plan = planned(user, path)
    return str(user.openstack("checkpoint", "create", *JSON, FILES_ID, plan["id"])["id"])


def test_providers(user: Caller) -> None:
    (listed,) = user.openstack("provider", "list", *JSON, "--name", "files")
    assert (listed["Id"], listed["Name"]) == (FILES_ID, "files")
    shown = user.openstack("provider", "show", *JSON, "files")
    assert (shown["id"], "directory" in shown["extended_info_schema"]) == (FILES_ID, True)


def test_protectables(user: Caller, source: Path) -> None:
    assert {"Protectable type": "directory"} in user.openstack("protectable", "list", *JSON)
    assert user.openstack("protectable", "show", *JSON, "directory")["name"] == "directory"
    id = registered(user, source)
    listed = user.openstack("protectable", "instance", "list", *JSON, "directory", "--type", "directory")
    assert (listed[0]["Id"], listed[0]["Name"]) == (id, "data")
    shown = user.openstack("protectable", "instance", "show", *JSON, "directory", id)
    assert json.loads(shown["extra_info"]) == {"path": str(source)}


def test_plans(user: Caller, source: Path) -> None:
    plan = planned(user, source, "--parameters-json", '{"directory": {"excludes": ["cache"]}}')
    assert json.loads(plan["parameters"]) == {"directory": {"excludes": ["cache"]}}
    for name in (plan["id"], "nightly"):
        assert user.openstack("plan", "show", *JSON, name)["id"] == plan["id"]
    assert user.openstack("plan", "list", *JSON, "--status", "suspended")[0]["Provider id"] == FILES_ID
    changed = user.openstack("plan", "update", *JSON, plan["id"], "--status", "started", "--name", "daily")
    assert (changed["name"], changed["status"]) == ("daily", "started")
    assert user.openstack("plan", "delete", "daily") is None
    with pytest.raises(Refused):
        user.openstack("plan", "show", *JSON, plan["id"])


def test_checkpoints(user: Caller, source: Path) -> None:
    plan = planned(user, source)
    made = user.openstack("checkpoint", "create", *JSON, FILES_ID, plan["id"], "--extra_info", "why=upgrade")
    assert made["protection_plan"] == f"Name: nightly\nId: {plan['id']}"
    shown = user.openstack("checkpoint", "show", *JSON, FILES_ID, made["id"])
    assert (shown["status"], json.loads(shown["extra_info"])) == ("available", {"why": "upgrade"})
    (listed,) = user.openstack("checkpoint", "list", *JSON, FILES_ID, "--plan_id", plan["id"])
    assert (listed["Id"], listed["Status"]) == (made["id"], "available")
    user.openstack("checkpoint", "delete", FILES_ID, made["id"])
    assert user.openstack("checkpoint", "list", *JSON, FILES_ID) == []


def test_restores(user: Caller, source: Path) -> None:
    checkpoint, target = protected(user, source), source.with_name(f"{source.name}-back")
    options = ("--parameters", f"resource_type=directory,path={target}")
    made = user.openstack("restore", "create", *JSON, FILES_ID, checkpoint, *options)
    assert user.openstack("restore", "show", *JSON, made["id"])["status"] == "success"
    assert (target / "one.txt").read_text() == "one\n"
    assert user.openstack("restore", "list", *JSON)[0]["Checkpoint id"] == checkpoint


def test_verifications(user: Caller, source: Path) -> None:
    made = user.openstack("verification", "create", *JSON, FILES_ID, protected(user, source))
    assert user.openstack("verification", "show", *JSON, made["id"])["status"] == "success"
    assert user.openstack("verification", "list", *JSON)[0]["Id"] == made["id"]


def test_operation_logs(user: Caller, source: Path) -> None:
    checkpoint = protected(user, source)
    (listed,) = user.openstack("operationlog", "list", *JSON)
    assert (listed["Operation Type"], listed["Checkpoint id"]) == ("protect", checkpoint)
    assert user.openstack("operationlog", "show", *JSON, listed["Id"])["status"] == "available"


def test_services(admin: Caller, direct: Service) -> None:
    with direct.parts.database.write() as uow:
        uow.services.register("osc-host", "protectd-worker", "protectd-worker")
    (listed,) = admin.openstack("service", "list", *JSON, "--host", "osc-host")
    assert (listed["Binary"], listed["State"]) == ("protectd-worker", "up")
    disabled = admin.openstack("service", "disable", *JSON, str(listed["Id"]), "--reason", "moves house")
    assert disabled["disabled_reason"] == "moves house"
    assert admin.openstack("service", "enable", *JSON, str(listed["Id"]))["status"] == "enabled"


# --- schedules, quotas, reset: what the plug-in itself cannot do is done with the other command ---

DAILY = "format=crontab,pattern=0 3 * * *,start_time=2030-01-01 00:00:00,window=900"


def test_triggers(user: Caller) -> None:
    """Its own `trigger create` fails before it asks."""
    id = table(user.karbor("trigger-create", "daily", "time", DAILY))["id"]
    shown = user.openstack("trigger", "show", *JSON, "daily")
    assert (shown["id"], shown["properties"]["window"]) == (id, "900")
    assert user.openstack("trigger", "list", *JSON, "--name", "daily")[0]["Type"] == "time"
    later = DAILY.replace("0 3", "30 4")
    changed = user.openstack("trigger", "update", *JSON, id, "--properties", later)
    assert changed["properties"]["pattern"] == "30 4 * * *"
    user.openstack("trigger", "delete", id)
    assert user.openstack("trigger", "list", *JSON) == []


def test_scheduled_operations(user: Caller, source: Path) -> None:
    """The definition comes as one text."""
    plan = planned(user, source)
    trigger = table(user.karbor("trigger-create", "daily", "time", DAILY))["id"]
    definition = f"plan_id={plan['id']},provider_id={FILES_ID}"
    command = ("scheduledoperation", "create", *JSON, "nightly", "protect", trigger, definition)
    made = user.openstack(*command)
    shown = user.openstack("scheduledoperation", "show", *JSON, "nightly")
    assert json.loads(shown["operation_definition"])["plan_id"] == plan["id"]
    assert user.openstack("scheduledoperation", "list", *JSON)[0]["Id"] == made["id"]
    user.openstack("scheduledoperation", "delete", made["id"])
    assert user.openstack("scheduledoperation", "list", *JSON) == []


def test_quotas(admin: Caller) -> None:
    project = str(uuid.uuid4())
    assert admin.openstack("quotas", "update", *JSON, project, "--plans", "7")["plans"] == 7
    assert admin.openstack("quotas", "show", *JSON, "--tenant", project)["plans"] == 7
    assert admin.openstack("quotas", "default", *JSON, "--tenant", project)["plans"] == 50
    assert admin.openstack("quotaclass", "update", *JSON, "oscs", "--plans", "3")["plans"] == 3
    assert admin.openstack("quotaclass", "show", *JSON, "oscs")["id"] == "oscs"


def test_the_state_of_a_checkpoint_is_reset(admin: Caller, source: Path) -> None:
    checkpoint = protected(admin, source)
    admin.openstack("checkpoint", "reset", "state", FILES_ID, checkpoint)
    assert admin.openstack("checkpoint", "show", *JSON, FILES_ID, checkpoint)["status"] == "error"
    admin.openstack("checkpoint", "reset", "state", FILES_ID, checkpoint, "--available")
    assert admin.openstack("checkpoint", "show", *JSON, FILES_ID, checkpoint)["status"] == "available"
