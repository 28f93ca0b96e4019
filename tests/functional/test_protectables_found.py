"""Instances that plug-ins find by themselves, beside those that are registered: slow and broken ones too."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import webtest

from protectd.domain.providers import Protectables
from protectd.plugin.base import Resource
from protectd.plugin.protectables.directory import DirectoryProtectable
from tests.fakes.kinds import Kind
from tests.fakes.service import Client, running

HOUSES = "protectables/house/instances"


@pytest.fixture
def kinds() -> Iterator[dict[str, Kind]]:
    made = {name: Kind(name) for name in ("house", "broken", "slow")}
    made["rooms"] = Kind("room", ["house"])
    made["broken"].found = RuntimeError("its own words")
    made["slow"].found = stuck = threading.Event()
    yield made
    stuck.set()


@pytest.fixture
def user(kinds: dict[str, Kind], tmp_path: Path) -> Iterator[Client]:
    with running(tmp_path) as service:
        parts = service.parts
        parts.conf.set_override("discovery_deadline_s", 0.3, group="protectables")
        parts.__dict__["protectables"] = Protectables([DirectoryProtectable(), *kinds.values()])
        del parts.__dict__["runtime"]
        client = service.client()
        client.app = webtest.TestApp(parts.application())
        yield client


def resource(name: str, type_: str = "house") -> Resource:
    return Resource(str(uuid.uuid4()), type_, name)


def registered(user: Client, name: str) -> str:
    body = {"instance": {"name": name, "properties": {"street": name}}}
    return str(user.post(HOUSES, body, 201)["instance"]["id"])


def walked(user: Client, query: str) -> list[str]:
    names: list[str] = []
    url = f"{HOUSES}?{query}"
    while url:
        page = user.get(url)
        names += [each["name"] for each in page["instances"]]
        url = page.get("instances_links", [{"href": ""}])[0]["href"].removeprefix("http://localhost:80")
    return names


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_have_what_is_registered_and_behind_it_what_was_found(
    user: Client, kinds: dict[str, Kind], limit: int
) -> None:
    for name in ("b", "a", "c"):
        registered(user, name)
    kinds["house"].found = [resource(name) for name in ("y", "x", "z")]
    assert walked(user, f"limit={limit}&sort=name:asc") == ["a", "b", "c", "x", "y", "z"]
    assert walked(user, f"limit={limit}&name=x") == ["x"]


def test_one_that_was_found_is_shown_and_once_registered_is_no_other(
    user: Client, kinds: dict[str, Kind]
) -> None:
    found = resource("x")
    kinds["house"].found = [found]
    assert user.get(f"{HOUSES}/{found.id}")["instance"]["name"] == "x"
    user.refused("GET", f"{HOUSES}/{uuid.uuid4()}", 404)


def test_types_are_listed_and_shown_whatever_their_plug_ins_do(user: Client) -> None:
    types = user.get("protectables")["protectable_type"]
    assert types == ["broken", "directory", "house", "room", "slow"]
    for each in types:
        user.get(f"protectables/{each}")
    assert user.get("protectables/house")["protectable_type"]["dependent_types"] == ["room"]


@pytest.mark.parametrize(("type_", "why"), [("broken", "failed with RuntimeError"), ("slow", "within 0.3 s")])
def test_a_plug_in_that_breaks_or_hangs_is_named_and_hurts_no_other(
    user: Client, type_: str, why: str
) -> None:
    for path in (f"protectables/{type_}/instances", f"protectables/{type_}/instances/{uuid.uuid4()}"):
        fault: dict[str, Any] = user.refused("GET", path, 503)
        assert fault["error"] == "protectable.unavailable"
        assert type_ in fault["message"] and why in fault["message"]
        assert "its own words" not in fault["message"]
        assert user.get("protectables/directory/instances") == {"instances": []}
        assert user.get(HOUSES) == {"instances": []}


def test_children_that_cannot_be_looked_for_are_named_by_their_type(
    user: Client, kinds: dict[str, Kind]
) -> None:
    id = registered(user, "a")
    kinds["rooms"].found = [resource("hall", "room")]
    shown = user.get(f"{HOUSES}/{id}")["instance"]
    assert [each["name"] for each in shown["dependent_resources"]] == ["hall"]
    kinds["rooms"].found = RuntimeError("broken")
    (listed,) = user.get(HOUSES)["instances"]
    assert (listed["dependent_resources"], listed["unavailable_types"]) == ([], ["room"])
