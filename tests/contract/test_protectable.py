"""What every protectable promises, with a sample of properties for each."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from protectd.common.context import RequestContext
from protectd.plugin.base import Access, InvalidResource, PathNotAllowed, ProtectablePlugin, Resource
from protectd.plugin.protectables.directory import DirectoryProtectable

PROTECTABLES: dict[str, tuple[type[ProtectablePlugin], dict[str, Any]]] = {
    "directory": (DirectoryProtectable, {"path": "/srv/data"}),
}
ANYWHERE = Access(roots=None)
CONTEXT = RequestContext("req-1", "p1", "ada", ("member",))


@pytest.fixture(params=sorted(PROTECTABLES))
def case(request: pytest.FixtureRequest) -> tuple[ProtectablePlugin, dict[str, Any]]:
    plugin, properties = PROTECTABLES[request.param]
    return plugin.from_options({}), properties


Case = tuple[ProtectablePlugin, dict[str, Any]]


def test_its_type_is_a_short_word_that_is_no_key_of_its_own(case: Case) -> None:
    plugin, _ = case
    assert 0 < len(plugin.resource_type()) <= 64
    assert "#" not in plugin.resource_type()
    assert plugin.resource_type() not in plugin.dependent_types()


def test_its_schema_is_one_that_refuses_unknown_properties(case: Case) -> None:
    plugin, properties = case
    schema = plugin.properties_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert validator.is_valid(properties)
    assert not validator.is_valid(properties | {"unknown": 1})


def test_normalizing_twice_changes_nothing_more(case: Case) -> None:
    plugin, properties = case
    once = plugin.check_properties(properties, ANYWHERE)
    assert plugin.check_properties(once, ANYWHERE) == once
    assert Draft202012Validator(plugin.properties_schema()).is_valid(once)


def test_a_project_without_roots_may_register_nothing_on_a_host(case: Case) -> None:
    plugin, properties = case
    with pytest.raises(PathNotAllowed):
        plugin.check_properties(properties, Access(roots=()))


def test_what_was_never_registered_is_found_without_failing(case: Case) -> None:
    plugin, properties = case
    assert list(plugin.list_instances(CONTEXT, {})) == []
    assert list(plugin.dependents(Resource("id", plugin.resource_type(), "name", properties))) == []


# --- directories ---


@pytest.mark.parametrize("text", ["/srv/data/", "/srv//data", "//srv/./data", "/srv/data/."])
def test_spellings_of_one_directory_are_one_directory(text: str) -> None:
    plugin = DirectoryProtectable.from_options({})
    assert plugin.check_properties({"path": text}, ANYWHERE) == {"path": "/srv/data"}
    assert plugin.identity({"path": text}) == "/srv/data"


def test_properties_without_a_path_have_no_identity() -> None:
    assert DirectoryProtectable.from_options({}).identity({}) is None


@pytest.mark.parametrize(
    "path", ["", "data", "./data", "/srv/../etc", "..", "/srv/\0", "/" + "x" * 256, "/x" * 3000, "/\ud800"]
)
def test_a_path_that_is_none_is_refused_with_its_field(path: str) -> None:
    with pytest.raises(InvalidResource) as caught:
        DirectoryProtectable.from_options({}).check_properties({"path": path}, ANYWHERE)
    assert caught.value.facts["field"] == "path"
