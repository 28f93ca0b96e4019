"""Plans in the order a user acts: create, read, list, change, delete."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from protectd.domain.instances import Registry
from protectd.plugin.base import Access
from tests.fakes.service import MEMORY_ID, Client, Service

UNKNOWN_ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


def resource(path: Path | str, name: str = "data", **more: Any) -> dict[str, Any]:
    return {"type": "directory", "name": name, "extra_info": {"path": str(path)}, **more}


@pytest.fixture
def path(service: Service) -> Path:
    return service.allowed / uuid.uuid4().hex


def test_a_new_plan_is_suspended_and_reads_back_as_it_was_given(member: Client, path: Path) -> None:
    parameters = {"directory": {"excludes": ["cache"]}}
    given = member.plan_body(path, name="büro 備份", description="of the night", parameters=parameters)
    answer = member.call("POST", "plans", given)
    plan = answer.json["plan"]
    assert (answer.status_int, answer.headers["X-Protectd-Dispatch"]) == (201, "direct")
    assert answer.headers["Location"].endswith(f"/v1/{member.project_id}/plans/{plan['id']}")
    assert plan["status"] == "suspended"
    for name in ("name", "description", "provider_id", "parameters"):
        assert plan[name] == given["plan"][name]
    assert member.get(f"plans/{plan['id']}")["plan"] == plan


def test_resources_are_echoed_exactly(service: Service, member: Client, path: Path) -> None:
    instance = member.post(
        "protectables/directory/instances",
        {"instance": {"name": "n", "properties": {"path": f"{path}-r"}}},
        201,
    )["instance"]
    given = [
        resource(path, id=str(uuid.uuid4()), extra_info={"path": str(path), "more": [1, None]}),
        {"id": instance["id"], "type": "directory", "name": "registered"},
    ]
    assert member.plan(path, resources=given)["resources"] == given


def test_a_path_makes_a_resource_known_and_fills_in_its_id(member: Client, path: Path) -> None:
    (made,) = member.plan(path)["resources"]
    shown = member.get(f"protectables/directory/instances/{made['id']}")["instance"]
    assert shown["extra_info"] == {"path": str(path)}
    assert member.plan(path)["resources"][0]["id"] == made["id"]


def test_the_id_a_client_chose_is_the_instances_too(member: Client, path: Path) -> None:
    chosen = str(uuid.uuid4())
    member.plan(path, resources=[resource(path, id=chosen)])
    assert member.get(f"protectables/directory/instances/{chosen}")["instance"]["id"] == chosen


def test_an_id_of_another_project_is_no_obstacle_and_no_way_in(service: Service, path: Path) -> None:
    one, other = service.client(), service.client()
    (mine,) = one.plan(path)["resources"]
    assert other.plan(path, resources=[resource(path, id=mine["id"])])["resources"][0]["id"] == mine["id"]
    bare = [{"id": mine["id"], "type": "directory", "name": "stolen"}]
    third = service.client()
    fault = third.refused("POST", "plans", 400, third.plan_body(path, resources=bare))
    assert fault["field"] == "plan.resources.0.id"


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": None}, "plan.name"),
        ({"name": ""}, "plan.name"),
        ({"name": "  "}, "plan.name"),
        ({"name": "x" * 256}, "plan.name"),
        ({"description": "x" * 256}, "plan.description"),
        ({"description": "a\nb"}, "plan.description"),
        ({"provider_id": UNKNOWN_ID}, "plan.provider_id"),
        ({"provider_id": "default"}, "plan.provider_id"),
        ({"project_id": UNKNOWN_ID}, "plan.project_id"),
        ({"id": UNKNOWN_ID}, "plan.id"),
        ({"status": "started"}, "plan.status"),
        ({"parameters": None}, "plan.parameters"),
        ({"parameters": {"volume": {}}}, "plan.parameters.volume"),
        ({"parameters": {"directory#x": {}}}, "plan.parameters.directory#x"),
        ({"parameters": {"directory#": {}}}, "plan.parameters.directory#"),
        ({"parameters": {f"directory#{UNKNOWN_ID}": {}}}, f"plan.parameters.directory#{UNKNOWN_ID}"),
        ({"parameters": {"directory": {"excludes": 1}}}, "plan.parameters.directory.excludes"),
        ({"parameters": {"directory": {"exclude": []}}}, "plan.parameters.directory.exclude"),
        ({"resources": []}, "plan.resources"),
        ({"resources": {}}, "plan.resources"),
        ({"resources": [{}]}, "plan.resources.0.type"),
        ({"resources": [resource("")]}, "plan.resources.0.extra_info.path"),
        ({"resources": [resource("relative")]}, "plan.resources.0.extra_info.path"),
        ({"resources": [resource("/a/../b")]}, "plan.resources.0.extra_info.path"),
        ({"resources": [resource("/a", type="volume")]}, "plan.resources.0.type"),
        ({"resources": [resource("/a", id="x" * 37)]}, "plan.resources.0.id"),
        ({"resources": [resource("/a", more=1)]}, "plan.resources.0.more"),
        ({"resources": [{"type": "directory", "name": "n"}]}, "plan.resources.0.id"),
        ({"resources": [{"type": "directory", "name": "n", "id": UNKNOWN_ID}]}, "plan.resources.0.id"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    member: Client, path: Path, changed: dict[str, Any], field: str
) -> None:
    assert member.refused("POST", "plans", 400, member.plan_body(path, **changed))["field"] == field
    assert member.get("plans") == {"plans": []}


@pytest.mark.parametrize("name", ["name", "provider_id", "parameters", "resources"])
def test_a_missing_field_is_named(member: Client, path: Path, name: str) -> None:
    body = member.plan_body(path)
    del body["plan"][name]
    assert member.refused("POST", "plans", 400, body)["field"] == f"plan.{name}"


def test_a_name_may_have_255_characters_of_any_kind(member: Client, path: Path) -> None:
    name = "備" * 255
    assert member.plan(path, name=name)["name"] == name


def test_a_resource_is_named_once(member: Client, path: Path) -> None:
    body = member.plan_body(path, resources=[resource(path), resource(path, "again")])
    fault = member.refused("POST", "plans", 409, body)
    assert (fault["error"], fault["field"]) == ("resource.twice", "plan.resources.1.id")


def test_an_id_goes_with_one_place(member: Client, path: Path) -> None:
    chosen = str(uuid.uuid4())
    member.plan(path, resources=[resource(path, id=chosen)])
    member.plan(f"{path}-2")
    elsewhere = member.plan_body(path, resources=[resource(f"{path}-2", id=chosen)])
    fault = member.refused("POST", "plans", 409, elsewhere)
    assert (fault["error"], fault["field"]) == ("resource.other", "plan.resources.0.id")


def test_a_member_plans_only_below_the_allowed_roots(member: Client, admin: Client) -> None:
    fault = member.refused("POST", "plans", 403, member.plan_body("/etc"))
    assert (fault["error"], fault["field"]) == ("path.not_allowed", "plan.resources.0.extra_info.path")
    admin.plan("/etc")


def test_a_registered_place_that_is_not_allowed_is_told_by_its_id(service: Service, admin: Client) -> None:
    """An administrator of the project registered it: the member may name it, not use it."""
    url = "protectables/directory/instances"
    instance = admin.post(url, {"instance": {"name": "n", "properties": {"path": "/etc"}}}, 201)["instance"]
    resources = [{"id": instance["id"], "type": "directory", "name": "n"}]
    member = service.client(admin.project_id)
    fault = member.refused("POST", "plans", 403, member.plan_body("/x", resources=resources))
    assert (fault["error"], fault["field"]) == ("path.not_allowed", "plan.resources.0.id")


def elsewhere(service: Service, client: Client, path: Path) -> dict[str, Any]:
    """A registered directory, as a resource of a plan, that another host has."""
    with service.parts.database.write() as uow:
        registry = Registry(uow, service.parts.protectables, client.project_id, "another-host")
        access = Access(roots=None)
        described = registry.describe("directory", "far", {"path": str(path)}, [access], "properties")
        (instance,) = registry.register([described])
    return {"id": instance.id, "type": "directory", "name": "far"}


def test_what_no_worker_has_alone_is_no_plan(service: Service, member: Client, path: Path) -> None:
    apart = [resource(path), elsewhere(service, member, path)]
    fault = member.refused("POST", "plans", 409, member.plan_body(path, resources=apart))
    assert (fault["error"], fault["field"]) == ("resource.hosts_differ", "plan.resources")
    plan = member.plan(path)
    fault = member.refused("PUT", f"plans/{plan['id']}", 409, {"plan": {"resources": apart}})
    assert (fault["error"], fault["field"]) == ("resource.hosts_differ", "plan.resources")


def test_nobody_plans_the_services_own_files(service: Service, admin: Client) -> None:
    admin.refused("POST", "plans", 403, admin.plan_body(service.parts.conf.state_dir))


def test_a_plan_of_another_project_is_not_there(service: Service, member: Client, path: Path) -> None:
    plan = member.plan(path)
    other = service.client()
    boss = service.client(role="admin")
    for stranger in (other, boss):
        for method, body in (("GET", None), ("PUT", {"plan": {"name": "x"}}), ("DELETE", None)):
            assert stranger.refused(method, f"plans/{plan['id']}", 404, body)["error"] == "plan.not_found"
        assert stranger.get("plans") == {"plans": []}
    assert other.get("plans?all_tenants=1") == {"plans": []}
    assert boss.get(f"plans/{plan['id']}?all_tenants=1")["plan"] == plan
    listed = boss.get(f"plans?all_tenants=True&project_id={member.project_id}")["plans"]
    assert listed == [plan]


def test_anothers_project_in_the_path_is_not_there(service: Service, member: Client) -> None:
    other = service.client()
    for path in (f"/v1/{other.project_id}/plans", f"/v1/{other.project_id}/providers"):
        assert member.refused("GET", path, 404)["error"] == "path.not_found"


def test_a_suspended_plan_is_changed_in_part(member: Client, path: Path) -> None:
    plan = member.plan(path)
    url = f"plans/{plan['id']}"
    changed = member.call("PUT", url, {"plan": {"name": "daily", "description": None}}).json["plan"]
    assert (changed["name"], changed["resources"]) == ("daily", plan["resources"])
    assert changed["created_at"] == plan["created_at"]
    assert changed["updated_at"] > plan["updated_at"]
    kept, added = plan["resources"][0], resource(f"{path}-more", "more")
    body = {"plan": {"resources": [added, kept]}}
    resources = member.call("PUT", url, body).json["plan"]["resources"]
    assert [each["name"] for each in resources] == ["more", "data"]
    assert resources[1] == kept
    gone = member.call("PUT", url, {"plan": {"resources": [resources[0]]}}).json["plan"]["resources"]
    assert gone == [resources[0]] == member.get(url)["plan"]["resources"]


def test_a_started_plan_can_only_be_suspended(member: Client, path: Path) -> None:
    url = f"plans/{member.plan(path)['id']}"
    assert member.call("PUT", url, {"plan": {"status": "started"}}).json["plan"]["status"] == "started"
    fault = member.refused("PUT", url, 400, {"plan": {"name": "x", "status": "suspended"}})
    assert (fault["error"], fault["field"]) == ("plan.not_suspended", "plan.name")
    assert member.call("PUT", url, {"plan": {"status": "suspended"}}).json["plan"]["status"] == "suspended"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "plan"),
        ({"status": "running"}, "plan.status"),
        ({"provider_id": MEMORY_ID}, "plan.provider_id"),
        ({"parameters": {}}, "plan.parameters"),
        ({"name": ""}, "plan.name"),
        ({"resources": []}, "plan.resources"),
        ({"resources": [resource("/a/..")]}, "plan.resources.0.extra_info.path"),
    ],
)
def test_a_change_that_does_not_fit_leaves_the_plan(
    member: Client, path: Path, body: dict[str, Any], field: str
) -> None:
    plan = member.plan(path)
    assert member.refused("PUT", f"plans/{plan['id']}", 400, {"plan": body})["field"] == field
    assert member.get(f"plans/{plan['id']}")["plan"] == plan


def test_parameters_name_a_resource_by_the_id_it_is_given(member: Client, path: Path) -> None:
    chosen = str(uuid.uuid4())
    parameters = {f"directory#{chosen}": {"excludes": ["cache"]}}
    plan = member.plan(path, resources=[resource(path, id=chosen)], parameters=parameters)
    assert plan["parameters"] == parameters
    wrong = member.plan_body(f"{path}-2", resources=[resource(f"{path}-2")], parameters=parameters)
    assert member.refused("POST", "plans", 400, wrong)["field"] == f"plan.parameters.directory#{chosen}"


def test_parameters_name_a_known_directory_whose_id_is_left_out(member: Client, path: Path) -> None:
    (known,) = member.plan(path)["resources"]
    parameters = {f"directory#{known['id']}": {"excludes": ["cache"]}}
    assert member.plan(path, parameters=parameters)["resources"] == [known]


def test_the_parameters_of_a_resource_wait_for_it_to_come_back(member: Client, path: Path) -> None:
    chosen = str(uuid.uuid4())
    both = [resource(path, id=chosen), resource(f"{path}-2", "other")]
    parameters = {f"directory#{chosen}": {"excludes": ["cache"]}}
    plan = member.plan(path, resources=both, parameters=parameters)
    url = f"plans/{plan['id']}"
    for resources in ([plan["resources"][1]], plan["resources"]):
        changed = member.call("PUT", url, {"plan": {"resources": resources}}).json["plan"]
        assert (changed["resources"], changed["parameters"]) == (resources, parameters)


def test_a_deleted_plan_is_gone_and_its_name_free(member: Client, path: Path) -> None:
    plan = member.plan(path)
    answer = member.call("DELETE", f"plans/{plan['id']}")
    assert (answer.status_int, answer.body) == (204, b"")
    member.refused("GET", f"plans/{plan['id']}", 404)
    member.refused("DELETE", f"plans/{plan['id']}", 404)
    assert member.get("plans") == {"plans": []}
    member.plan(path)


def test_a_plan_is_kept_while_it_runs(member: Client, path: Path) -> None:
    plan = member.plan(path)
    member.checkpoint(plan)
    fault = member.refused("DELETE", f"plans/{plan['id']}", 409)
    assert fault["error"] == "plan.busy"
    assert "PENDING" in fault["message"]


def names(client: Client, query: str) -> list[str]:
    return [plan["name"] for plan in client.get(f"plans?{query}")["plans"]]


def test_lists_are_filtered_and_sorted(member: Client, path: Path) -> None:
    for name, description in (("beta", "of x"), ("alpha", "of y"), ("gamma", None)):
        member.plan(path, name=name, description=description)
    assert names(member, "") == ["gamma", "alpha", "beta"]
    assert names(member, "sort=name:asc") == ["alpha", "beta", "gamma"]
    assert names(member, "sort_key=name&sort_dir=desc") == ["gamma", "beta", "alpha"]
    assert names(member, "sort=status:asc,name:desc") == ["gamma", "beta", "alpha"]
    assert names(member, "name=alpha") == ["alpha"]
    assert names(member, "description=of&sort=name:asc") == ["alpha", "beta"]
    assert names(member, "status=started") == []
    assert names(member, "name=%25") == []
    assert names(member, "unknown=ignored&sort=id") != []
    assert names(member, "sort=name:asc&limit=1&offset=1") == ["beta"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=x", "limit"),
        ("limit=٣", "limit"),
        ("offset=-1", "offset"),
        ("marker=x", "marker"),
        ("sort=size", "sort"),
        ("sort=name:up", "sort"),
        ("sort=name&sort_key=id", "sort"),
        ("sort_dir=up", "sort_key"),
        ("all_tenants=maybe", "all_tenants"),
        ("limit=1&limit=2", "limit"),
        ("name=%00", "name"),
        ("name=%ff", "query"),
    ],
)
def test_a_query_that_does_not_fit_is_refused_by_name(member: Client, query: str, field: str) -> None:
    assert member.refused("GET", f"plans?{query}", 400)["field"] == field


def test_a_page_begins_behind_what_is_there(member: Client) -> None:
    fault = member.refused("GET", f"plans?marker={UNKNOWN_ID}", 404)
    assert (fault["error"], fault["field"]) == ("marker.unknown", "marker")


def test_pages_miss_and_repeat_nothing_while_plans_are_added(member: Client, path: Path) -> None:
    before = {member.plan(path)["id"] for _ in range(25)}
    seen: list[str] = []
    url = "plans?limit=7&sort=created_at:asc"
    while url:
        page = member.get(url)
        seen += [each["id"] for each in page["plans"]]
        member.plan(path)
        url = page.get("plans_links", [{"href": ""}])[0]["href"].removeprefix("http://localhost:80")
        assert len(seen) < 100
        if before <= set(seen):
            break
    assert len(seen) == len(set(seen))
    assert before <= set(seen)


def test_a_limit_above_the_most_is_cut(member: Client, path: Path) -> None:
    member.plan(path)
    assert len(member.get("plans?limit=999999999")["plans"]) == 1


def test_many_resources_are_found_and_registered_with_the_statements_of_few(
    service: Service, member: Client, path: Path
) -> None:
    def statements(count: int) -> int:
        many = [resource(f"{path}-{count}/{number}", str(number)) for number in range(count)]
        body = member.plan_body(path, resources=many)
        with service.counted_statements() as sent:
            member.post("plans", body, 201)
        return sum("instances" in statement for statement in sent)

    assert statements(200) == statements(2)
