"""Providers: what there is to choose from."""

from __future__ import annotations

from jsonschema import Draft202012Validator

from tests.fakes.service import FILES_ID, MEMORY_ID, Client

UNKNOWN_ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


def test_each_configured_provider_is_listed(member: Client) -> None:
    listed = {each["id"]: each["name"] for each in member.get("providers")["providers"]}
    assert listed == {FILES_ID: "files", MEMORY_ID: "memory"}


def test_a_provider_tells_the_schemas_of_its_plug_ins(member: Client) -> None:
    provider = member.get(f"providers/{FILES_ID}")["provider"]
    schemas = provider["extended_info_schema"]
    assert set(schemas) == {"options_schema", "restore_schema", "saved_info_schema", "verify_schema"}
    for by_type in schemas.values():
        Draft202012Validator.check_schema(by_type["directory"])


def test_an_id_may_be_spelt_in_any_way_a_uuid_can(member: Client) -> None:
    spelling = FILES_ID.replace("-", "").upper()
    assert member.get(f"providers/{spelling}")["provider"]["id"] == FILES_ID


def test_an_unknown_provider_is_404_and_a_word_is_400(member: Client) -> None:
    assert member.refused("GET", f"providers/{UNKNOWN_ID}", 404)["error"] == "provider.not_found"
    assert member.refused("GET", "providers/default", 400)["field"] == "provider_id"


def test_the_list_can_be_narrowed_and_paged(member: Client) -> None:
    assert [each["id"] for each in member.get("providers?name=files")["providers"]] == [FILES_ID]
    first = member.get("providers?limit=1&sort=id:asc")
    (link,) = first["providers_links"]
    second = member.get(link["href"].removeprefix("http://localhost:80"))
    assert "providers_links" not in second
    assert {first["providers"][0]["id"], second["providers"][0]["id"]} == {FILES_ID, MEMORY_ID}


def test_an_unknown_marker_is_refused(member: Client) -> None:
    assert member.refused("GET", f"providers?marker={UNKNOWN_ID}", 404)["field"] == "marker"
