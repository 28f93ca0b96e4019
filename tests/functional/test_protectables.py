"""Protectables: types, and the instances a project has registered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fakes.service import Client, Service

INSTANCES = "protectables/directory/instances"
UNKNOWN_ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


def instance(path: Path | str, name: str = "data") -> dict[str, Any]:
    return {"instance": {"name": name, "properties": {"path": str(path)}}}


def register(client: Client, path: Path | str, name: str = "data") -> dict[str, Any]:
    return dict(client.post(INSTANCES, instance(path, name), 201)["instance"])


def test_the_types_are_listed_as_words(member: Client) -> None:
    assert member.get("protectables") == {"protectable_type": ["directory"]}


def test_a_type_is_shown_and_an_unknown_one_is_404(member: Client) -> None:
    assert member.get("protectables/directory")["protectable_type"]["name"] == "directory"
    assert member.refused("GET", "protectables/nothing", 404)["error"] == "protectable.not_found"
    member.refused("GET", "protectables/nothing/instances", 404)


def test_an_instance_is_registered_listed_and_shown(service: Service, member: Client) -> None:
    made = register(member, service.allowed / "somewhere")
    assert made["extra_info"] == {"path": str(service.allowed / "somewhere")}
    assert made["dependent_resources"] == []
    assert member.get(INSTANCES)["instances"] == [made]
    assert member.get(f"{INSTANCES}/{made['id']}")["instance"] == made


def test_registering_the_same_directory_again_gives_the_same_instance(
    service: Service, member: Client
) -> None:
    path = service.allowed / "again"
    assert register(member, path)["id"] == register(member, f"{path}/./", "other")["id"]


def test_instances_are_the_projects_own(service: Service, member: Client) -> None:
    made = register(member, service.allowed / "mine")
    other = service.client()
    assert other.get(INSTANCES) == {"instances": []}
    other.refused("GET", f"{INSTANCES}/{made['id']}", 404)
    assert register(other, service.allowed / "mine")["id"] != made["id"]


@pytest.mark.parametrize("path", ["", "relative", "/a/../b", "/a\\u0000b", 7, None])
def test_a_path_that_is_none_is_refused_by_name(member: Client, path: Any) -> None:
    body = {"instance": {"name": "data", "properties": {"path": path}}}
    if path == "/a\\u0000b":
        body["instance"]["properties"]["path"] = "/a\0b"
    fault = member.refused("POST", INSTANCES, 400, body)
    assert fault["field"] == "instance.properties.path"


def test_unknown_fields_are_refused_at_every_depth(member: Client) -> None:
    for body, field in (
        (instance("/x") | {"more": 1}, "more"),
        ({"instance": instance("/x")["instance"] | {"more": 1}}, "instance.more"),
        ({"instance": {"name": "n", "properties": {"path": "/x", "more": 1}}}, "instance.properties.more"),
    ):
        assert member.refused("POST", INSTANCES, 400, body)["field"] == field


def test_a_member_registers_only_below_the_allowed_roots(
    service: Service, member: Client, admin: Client
) -> None:
    fault = member.refused("POST", INSTANCES, 403, instance("/etc"))
    assert (fault["error"], fault["field"]) == ("path.not_allowed", "instance.properties.path")
    member.refused("POST", INSTANCES, 403, instance(f"{service.allowed}-beside"))
    register(admin, "/etc")


def test_nobody_registers_the_services_own_files(service: Service, admin: Client) -> None:
    state = Path(service.parts.conf.state_dir)
    for path in (state, state / "below", state.parent / "bank"):
        admin.refused("POST", INSTANCES, 403, instance(path))


def test_parameters_are_an_object_in_json_or_python_text(member: Client) -> None:
    member.get(f"{INSTANCES}?parameters=%7B%27region_name%27%3A+%27R1%27%7D")
    member.get(f"{INSTANCES}?parameters=%7B%22region_name%22%3A+null%7D")
    for text in ("[]", "x", "{", "__import__('os')", "{1: 2}", '{"a": NaN}'):
        assert member.refused("GET", f"{INSTANCES}?parameters={text}", 400)["field"] == "parameters"


def test_parameters_hold_nothing_that_could_not_be_kept(member: Client) -> None:
    for text in ('{"a": 1e999}', '{"a": "%5Cud800"}', '{"a": ["%5Cu0000"]}', '{"%5Cu0000": 1}'):
        assert member.refused("GET", f"{INSTANCES}?parameters={text}", 400)["field"].startswith("parameters")


def test_an_unknown_instance_is_404(member: Client) -> None:
    assert member.refused("GET", f"{INSTANCES}/{UNKNOWN_ID}", 404)["error"] == "instance.not_found"


def test_instances_are_paged(service: Service, member: Client) -> None:
    made = {register(member, service.allowed / f"page-{n}")["id"] for n in range(5)}
    seen: list[str] = []
    url = f"{INSTANCES}?limit=2"
    while url:
        page = member.get(url)
        seen += [each["id"] for each in page["instances"]]
        url = page.get("instances_links", [{"href": ""}])[0]["href"].removeprefix("http://localhost:80")
    assert sorted(seen) == sorted(made)
