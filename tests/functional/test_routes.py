"""Every route answers, with every verb: what it is for, or which verbs it knows."""

from __future__ import annotations

import re

import pytest

from protectd.api.middleware.auth import PUBLIC
from protectd.api.routes import CONTROLLERS, KEY_MANAGER, routes
from tests.fakes.service import MEMORY_ID, Client, fault_of

UNKNOWN_ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE", "BREW")
DATA_PROTECTION = sorted({path for _, path in routes() if "{project_id}" in path})
KEYS = sorted({each.path for each in KEY_MANAGER if each.path})
KNOWN = {verb + path for verb, path in routes()}
WORDS = {"provider_id": MEMORY_ID, "protectable_type": "directory", "service_id": "999", "class_name": "x"}


def url(path: str, client: Client) -> str:
    known = WORDS | {"project_id": client.project_id, "quota_project_id": client.project_id}
    return re.sub(r"{(\w+)}", lambda found: known.get(found[1], UNKNOWN_ID), path)


def test_what_the_document_calls_public_is_what_passes_without_a_token() -> None:
    """A path that brings a signature of its own is public, too."""
    public = {each.path for each in (*CONTROLLERS, *KEY_MANAGER) if each.public}
    assert public == {*PUBLIC.split(), "/v1/triggers/{trigger_id}/fire"}


@pytest.mark.parametrize("path", DATA_PROTECTION)
def test_a_verb_that_a_path_does_not_know_is_405_with_those_it_knows(admin: Client, path: str) -> None:
    wanted = {verb for verb in VERBS if verb + path in KNOWN}
    implied = {"OPTIONS"} | ({"HEAD"} if "GET" in wanted else set())
    for verb in set(VERBS) - wanted:
        answer = admin.app.request(
            url(path, admin), method=verb, headers={"X-Auth-Token": admin.token}, expect_errors=True
        )
        assert answer.status_int == 405, (verb, path)
        assert set(answer.headers["Allow"].split(", ")) == wanted | implied
        assert fault_of(answer)["name"] == "badMethod"


@pytest.mark.parametrize("path", DATA_PROTECTION)
def test_options_tell_the_verbs_and_head_is_get_without_a_body(admin: Client, path: str) -> None:
    headers = {"X-Auth-Token": admin.token}
    answer = admin.app.options(url(path, admin), headers=headers)
    assert (answer.status_int, answer.body) == (204, b"")
    if "GET" + path in KNOWN:
        shown = admin.app.get(url(path, admin), headers=headers, expect_errors=True)
        told = admin.app.head(url(path, admin), headers=headers, expect_errors=True)
        assert (told.status_int, told.body) == (shown.status_int, b"")


@pytest.mark.parametrize("path", DATA_PROTECTION)
def test_every_path_is_there_and_what_is_below_it_is_not(admin: Client, path: str) -> None:
    """A thing that is not there says so by its own code; a path that is not there by another."""
    if "GET" + path in KNOWN:
        answer = admin.call("GET", url(path, admin))
        assert answer.status_int == 200 or fault_of(answer)["error"] != "path.not_found"
    assert admin.refused("GET", url(path, admin) + "/nothing/at/all", 404)["name"] == "itemNotFound"


@pytest.mark.parametrize("path", KEYS)
def test_the_key_managers_paths_tell_their_verbs(admin: Client, path: str) -> None:
    """With an Allow, and in the words of its clients, which look for a title."""
    wanted = {verb for verb in VERBS if verb + path in KNOWN}
    allowed = wanted | {"OPTIONS"} | ({"HEAD"} if "GET" in wanted else set())
    for slash in ("", "/"):
        place = url(path, admin).rstrip("/") + slash or "/"
        told = admin.call("OPTIONS", place)
        assert (told.status_int, set(told.headers["Allow"].split(", "))) == (204, allowed)
        for verb in {*VERBS} - wanted - {"BREW"}:
            answer = admin.call(verb, place)
            assert answer.status_int == 405, (verb, place)
            assert set(answer.headers["Allow"].split(", ")) == allowed
            assert (answer.json["code"], answer.json["title"]) == (405, "Method Not Allowed")
        if "GET" in wanted:
            headers = {"X-Auth-Token": admin.token}
            shown = admin.app.get(place, headers=headers, expect_errors=True)
            head = admin.app.head(place, headers=headers, expect_errors=True)
            assert (head.status_int, head.body) == (shown.status_int, b"")
