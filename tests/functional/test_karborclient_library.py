"""python-karborclient 2.1.0 as a library, unmodified: its calls in the order a user would make them."""

from __future__ import annotations

import inspect
import json
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from karborclient.common.apiclient import exceptions

from tests.fakes.published_client import Caller, caller
from tests.fakes.service import FILES_ID, Client, Service

UNKNOWN_ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
INHERITED = {"find", "findall"}


@pytest.fixture(params=["token", "session"])
def user(request: pytest.FixtureRequest, direct: Service, endpoint: str) -> Any:
    return caller(direct, endpoint).library(request.param)


@pytest.fixture
def admin(direct: Service, endpoint: str) -> Caller:
    return caller(direct, endpoint, role="admin")


@pytest.fixture
def source(direct: Service) -> Path:
    return direct.directory(uuid.uuid4().hex)


def resource(path: Path) -> dict[str, Any]:
    return {"id": resource_id(path), "type": "directory", "name": "data", "extra_info": {"path": str(path)}}


def resource_id(path: Path) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, str(path)))


def planned(user: Any, path: Path, name: str = "nightly", **parameters: Any) -> Any:
    return user.plans.create(name, FILES_ID, [resource(path)], parameters)


def protected(user: Any, plan: Any) -> Any:
    made = user.checkpoints.create(FILES_ID, plan.id)
    return user.checkpoints.get(FILES_ID, made.id)


def test_it_is_the_published_release() -> None:
    assert metadata.version("python-karborclient") == "2.1.0"


def test_providers(user: Any) -> None:
    assert {provider.name for provider in user.providers.list()} == {"files", "memory"}
    (found,) = user.providers.list(search_opts={"name": "files", "description": None}, sort="name:asc")
    assert (found.id, found.description) == (FILES_ID, "files of the tests")
    first = user.providers.list(limit=1, sort="id:asc")
    second = user.providers.list(limit=1, marker=first[0].id, sort_key="id", sort_dir="asc")
    assert len(first) == len(second) == 1 and first != second
    shown = user.providers.get(FILES_ID)
    assert "directory" in shown.extended_info_schema["options_schema"]
    with pytest.raises(exceptions.NotFound):
        user.providers.get(UNKNOWN_ID)
    with pytest.raises(exceptions.BadRequest):
        user.providers.get("files")


def test_protectables(user: Any, source: Path) -> None:
    assert "directory" in [each.protectable_type for each in user.protectables.list()]
    assert user.protectables.get("directory").name == "directory"
    plan = planned(user, source)
    options = {"type": "directory", "parameters": {"region_name": "R1", "zone": None}}
    (listed,) = user.protectables.list_instances("directory", search_opts=options, limit=5, sort="name")
    assert (listed.id, listed.extra_info) == (plan.resources[0]["id"], {"path": str(source)})
    shown = user.protectables.get_instance("directory", listed.id, search_opts=options)
    assert (shown.name, shown.dependent_resources) == ("data", [])
    with pytest.raises(exceptions.NotFound):
        user.protectables.get_instance("directory", FILES_ID)


def test_plans(user: Any, source: Path) -> None:
    plan = planned(user, source, directory={"excludes": ["cache"]})
    assert (plan.status, plan.description) == ("suspended", None)
    assert plan.resources == [resource(source)]
    assert user.plans.get(plan.id).to_dict() == plan.to_dict()
    other = planned(user, source, "weekly")
    assert [each.id for each in user.plans.list(sort="created_at:asc")] == [plan.id, other.id]
    assert [each.id for each in user.plans.list(limit=1, marker=other.id, sort="created_at:desc")] == [
        plan.id
    ]
    assert user.plans.find(name="weekly").id == other.id
    assert user.plans.findall(status="started") == []
    for status in ("started", "suspended"):
        assert user.plans.update(plan.id, {"status": status}).status == status
    changed = user.plans.update(plan.id, {"name": "daily", "resources": [resource(source / "below")]})
    assert (changed.name, changed.resources) == ("daily", [resource(source / "below")])
    user.plans.delete(plan.id)
    with pytest.raises(exceptions.NotFound):
        user.plans.get(plan.id)


def test_checkpoints(user: Any, source: Path) -> None:
    plan = planned(user, source)
    made = user.checkpoints.create(FILES_ID, plan.id, {"why": "before the upgrade", "ticket": None})
    assert made.protection_plan["provider_id"] == FILES_ID
    shown = user.checkpoints.get(FILES_ID, made.id)
    assert shown.status == "available"
    assert json.loads(shown.extra_info) == {"why": "before the upgrade", "ticket": None}
    assert json.loads(shown.resource_graph)[0]["0x0"][:3] == ["directory", resource_id(source), "data"]
    day = shown.created_at[:10]
    options = {"plan_id": plan.id, "start_date": day, "end_date": day, "project_id": None}
    (listed,) = user.checkpoints.list(FILES_ID, search_opts=options, limit=10, sort="created_at")
    assert (listed.id, listed.protection_plan["name"]) == (made.id, "nightly")
    user.checkpoints.delete(FILES_ID, made.id)
    assert user.checkpoints.get(FILES_ID, made.id).status == "deleted"
    assert user.checkpoints.list(FILES_ID) == []


def test_a_checkpoint_loads_by_itself_what_it_lacks(user: Any, source: Path) -> None:
    made = user.checkpoints.create(FILES_ID, planned(user, source).id)
    made.to_dict().pop("resource_graph", None)
    made._info.pop("resource_graph", None)
    assert json.loads(made.resource_graph)[1] == []


def test_restores(user: Any, source: Path, direct: Service) -> None:
    checkpoint = protected(user, planned(user, source))
    target = source.with_name(f"{source.name}-back")
    restore = user.restores.create(FILES_ID, checkpoint.id, None, {"directory": {"path": str(target)}}, None)
    shown = user.restores.get(restore.id)
    assert (shown.status, shown.restore_target) == ("success", None)
    assert shown.resources_status == {f"directory#{resource_id(source)}": "available"}
    assert (target / "below/two.txt").read_text() == "two\n"
    (listed,) = user.restores.list(search_opts={"status": "success", "all_tenants": 0}, sort="status:asc")
    assert (listed.id, listed.parameters) == (restore.id, {"directory": {"path": str(target)}})


def test_verifications(user: Any, source: Path) -> None:
    checkpoint = protected(user, planned(user, source))
    made = user.verifications.create(FILES_ID, checkpoint.id, {})
    assert user.verifications.get(made.id).status == "success"
    (listed,) = user.verifications.list(search_opts={"status": "success"}, limit=3)
    assert (listed.id, listed.checkpoint_id, listed.parameters) == (made.id, checkpoint.id, {})


def test_operation_logs(user: Any, source: Path) -> None:
    plan = planned(user, source)
    checkpoint = protected(user, plan)
    (listed,) = user.operation_logs.list(search_opts={"plan_id": plan.id, "status": "available"})
    shown = user.operation_logs.get(listed.id)
    assert (shown.operation_type, shown.checkpoint_id, shown.status) == (
        "protect",
        checkpoint.id,
        "available",
    )
    assert shown.ended_at >= shown.started_at
    assert [shown.restore_id, shown.scheduled_operation_id, shown.error_info, shown.extra_info] == [None] * 4


@pytest.mark.parametrize("kind", ["token", "session"])
def test_services(admin: Caller, direct: Service, kind: str) -> None:
    with direct.parts.database.write() as uow:
        uow.services.register(f"host-{kind}", "protectd-worker")
    services = admin.library(kind).services
    (worker,) = services.list(host=f"host-{kind}", binary="protectd-worker")
    assert (worker.status, worker.state) == ("enabled", "up")
    disabled = services.disable_log_reason(worker.id, "moves house")
    assert (disabled.status, disabled.disabled_reason) == ("disabled", "moves house")
    assert services.enable(worker.id).status == "enabled"
    assert services.disable(worker.id).status == "disabled"


def test_an_administrator_sees_all_projects(admin: Caller, direct: Service, endpoint: str) -> None:
    other = caller(direct, endpoint)
    plan = planned(other.library(), direct.directory("of-another"))
    plans = admin.library().plans
    options = {"all_tenants": 1, "project_id": other.client.project_id}
    assert [each.id for each in plans.list(search_opts=options)] == [plan.id]
    assert plan.id not in [each.id for each in plans.list()]
    assert other.library().plans.list(search_opts={"all_tenants": 1})[0].id == plan.id


@pytest.mark.parametrize("kind", ["token", "session"])
def test_refusals_arrive_as_what_they_are(direct: Service, endpoint: str, kind: str) -> None:
    user = caller(direct, endpoint).library(kind)
    for expected, call in (
        (exceptions.BadRequest, lambda: user.plans.create("", FILES_ID, [], {})),
        (exceptions.NotFound, lambda: user.plans.get(UNKNOWN_ID)),
        (exceptions.NotFound, lambda: user.checkpoints.create(FILES_ID, UNKNOWN_ID)),
        (exceptions.Forbidden, lambda: user.services.list()),
    ):
        with pytest.raises(expected) as caught:
            call()
        assert caught.value.request_id.startswith("req-")
    stranger = Caller(endpoint, Client(direct.app, "no token", UNKNOWN_ID)).library(kind)
    with pytest.raises((exceptions.AuthorizationFailure, exceptions.Unauthorized)):
        stranger.plans.list()


def test_the_message_of_a_refusal_is_the_services(user: Any) -> None:
    with pytest.raises(exceptions.BadRequest, match=r"plan\.name: must have at least 1 characters"):
        user.plans.create("", FILES_ID, [], {})


# --- schedules ---

DAILY = {
    "format": "crontab",
    "pattern": "0 3 * * *",
    "start_time": "2030-01-01 00:00:00",
    "end_time": "2031-01-01 00:00:00",
    "window": "900",
}


def scheduled(user: Any, path: Path) -> tuple[Any, Any, Any]:
    plan = planned(user, path)
    trigger = user.triggers.create("daily", "time", dict(DAILY))
    definition = {"provider_id": FILES_ID, "plan_id": plan.id}
    return plan, trigger, user.scheduled_operations.create("each night", "protect", trigger.id, definition)


def test_triggers(user: Any) -> None:
    made = user.triggers.create("daily", "time", dict(DAILY))
    assert made.properties["window"] == "900"
    assert user.triggers.get(made.id).properties == made.properties
    properties = DAILY | {"pattern": "30 4 * * *", "window": 1200}
    changed = user.triggers.update(made.id, {"name": "early", "properties": properties})
    assert (changed.name, changed.properties["pattern"]) == ("early", "30 4 * * *")
    assert user.triggers.update(made.id, {"name": "late", "properties": {}}).name == "late"
    (listed,) = user.triggers.list(search_opts={"name": "late", "type": "time"}, limit=1, sort="name")
    assert (listed.id, user.triggers.find(name="late").id) == (made.id, made.id)
    user.triggers.delete(made.id)
    with pytest.raises(exceptions.NotFound):
        user.triggers.get(made.id)
    with pytest.raises(exceptions.BadRequest):
        user.triggers.create("never", "time", DAILY | {"pattern": "61 * * * *"})


def test_scheduled_operations(user: Any, source: Path) -> None:
    plan, trigger, made = scheduled(user, source)
    assert made.enabled is True
    shown = user.scheduled_operations.get(made.id)
    assert shown.operation_definition == {"provider_id": FILES_ID, "plan_id": plan.id}
    options = {"operation_type": "protect", "trigger_id": trigger.id, "name": "each"}
    (listed,) = user.scheduled_operations.list(search_opts=options, sort="created_at")
    assert (listed.id, listed.trigger_id) == (made.id, trigger.id)
    with pytest.raises(exceptions.HTTPClientError) as caught:
        user.triggers.delete(trigger.id)
    assert caught.value.http_status in (409, 424)
    with pytest.raises(exceptions.Conflict):
        user.plans.delete(plan.id)
    user.scheduled_operations.delete(made.id)
    assert user.scheduled_operations.list() == []
    user.triggers.delete(trigger.id)
    user.plans.delete(plan.id)


# --- quotas ---


def test_quotas(admin: Caller, user: Any) -> None:
    other = str(uuid.uuid4())
    quotas = admin.library().quotas
    assert quotas.defaults(other).plans == 50
    assert quotas.update(other, {"plans": 7, "checkpoints": 9}).checkpoints == 9
    shown = quotas.get(other, detail=False)
    assert (shown.id, shown.plans) == (other, 7)
    assert quotas.get(other, detail=True).plans == {"limit": 7, "in_use": 0, "reserved": 0}
    assert quotas.update(other, {"plans": None}).plans == 50
    with pytest.raises(exceptions.Forbidden):
        user.quotas.get(other, detail=False)


def test_quota_classes(admin: Caller) -> None:
    classes = admin.library().quota_classes
    assert classes.update("small", {"plans": 3}).plans == 3
    shown = classes.get("small")
    assert (shown.id, shown.plans) == ("small", 3)


def test_the_state_of_a_checkpoint_is_reset(admin: Caller, direct: Service, source: Path) -> None:
    user = admin.library()
    checkpoint = protected(user, planned(user, source))
    for state in ("error", "available"):
        user.checkpoints.reset_state(FILES_ID, checkpoint.id, state)
        assert user.checkpoints.get(FILES_ID, checkpoint.id).status == state
    with pytest.raises(exceptions.BadRequest):
        user.checkpoints.reset_state(FILES_ID, checkpoint.id, "deleting")
    with pytest.raises(exceptions.NotFound):
        user.checkpoints.reset_state(FILES_ID, UNKNOWN_ID, "error")


COVERED = {
    "providers": {"list", "get"},
    "protectables": {"list", "get", "list_instances", "get_instance"},
    "plans": {"create", "get", "list", "update", "delete"},
    "checkpoints": {"create", "get", "list", "delete", "reset_state", "update"},
    "restores": {"create", "get", "list"},
    "verifications": {"create", "get", "list"},
    "triggers": {"create", "get", "list", "update", "delete"},
    "scheduled_operations": {"create", "get", "list", "delete"},
    "operation_logs": {"get", "list"},
    "services": {"list", "enable", "disable", "disable_log_reason"},
    "quotas": {"get", "defaults", "update", "list"},
    "quota_classes": {"get", "update", "list"},
}
"""What the tests above call. Lists of quotas ask nothing; `reset_state` calls `update`."""


def test_every_call_of_the_client_is_here(user: Any) -> None:
    there = {
        name: {each for each, _ in inspect.getmembers(manager, inspect.ismethod) if each[0] != "_"}
        - INHERITED
        for name, manager in vars(user).items()
        if name != "http_client"
    }
    assert there == COVERED
