"""What clients ask the key manager first: versions, with and without a token; and the ends of paths."""

from __future__ import annotations

from typing import Any

import pytest

from protectd.api.contracts import KEY_MANAGER_NOUNS
from protectd.api.controllers.root import KEY_MANAGER_CONTROLLERS
from protectd.api.microversions import HEADER
from protectd.api.routes import KEY_MANAGER, routes
from protectd.common.ids import new_id
from tests.fakes.service import Client, Service, fault_of

NEWEST = ("1.1", "1.2", "latest")
TOKENS: list[dict[str, str]] = [{}, {"X-Auth-Token": "of nobody"}]


def asked(version: str | None, **headers: str) -> dict[str, str]:
    return headers if version is None else {HEADER: f"key-manager {version}", **headers}


@pytest.mark.parametrize("token", TOKENS, ids=["without", "wrong"])
@pytest.mark.parametrize("version", [None, "1.0", *NEWEST])
@pytest.mark.parametrize("path", ["/", "/v1", "/v1/"])
def test_versions_are_told_to_everyone(
    service: Service, path: str, version: str | None, token: dict[str, str]
) -> None:
    status = 300 if path == "/" else 200
    for accept in ({}, {"Accept": "application/json"}, {"Accept": "*/*"}):
        answer = service.app.get(path, headers=asked(version, **token, **accept), status=status)
        shown: Any = answer.json["versions" if path == "/" else "version"]
        if path == "/":
            [shown] = shown if version in NEWEST else shown["values"]
        assert shown["id"] == "v1"
        assert shown["links"][0] == {"rel": "self", "href": "http://localhost:80/v1/"}
        if version in NEWEST:
            assert (shown["status"], shown["min_version"], shown["max_version"]) == ("CURRENT", "1.0", "1.2")
        else:
            assert shown["status"] == "stable" and "max_version" not in shown
            assert shown["media-types"][0]["type"] == "application/vnd.openstack.key-manager-v1+json"


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/quotas", "/v1/transport_keys"])
@pytest.mark.parametrize(
    ("version", "status"), [("0.9", 406), ("1.3", 406), ("2.0", 406), ("one", 400), ("1", 400)]
)
def test_a_version_that_is_none_is_refused(member: Client, path: str, version: str, status: int) -> None:
    headers = asked(version, **{"X-Auth-Token": member.token})
    answer = member.app.get(path, headers=headers, expect_errors=True)
    assert answer.status_int == status
    fault_of(answer)


@pytest.mark.parametrize("version", [None, "1.0", "1.1", "1.2", "latest"])
@pytest.mark.parametrize("path", ["/", "/v1", "/v1/quotas", "/v1/secrets", "/v1/transport_keys"])
def test_the_version_comes_back(member: Client, path: str, version: str | None) -> None:
    headers = asked(version, **{"X-Auth-Token": member.token})
    answer = member.app.get(path, headers=headers)
    told = {None: "1.0", "latest": "1.2"}.get(version, version)
    assert answer.headers[HEADER] == f"key-manager {told}"
    assert HEADER.lower() in answer.headers["Vary"].lower()


def test_who_wants_a_home_document_is_led_to_the_version(service: Service) -> None:
    answer = service.app.get("/", headers={"Accept": "application/json-home"}, status=302)
    assert answer.headers["Location"] == "http://localhost:80/v1/"


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/v1/secrets/none", 404),
        ("GET", "/v1/project-quotas", 403),
        ("PUT", "/v1/quotas", 405),
        ("POST", "/v1/secrets", 400),
        ("DELETE", "/v1", 405),
    ],
)
def test_refusals_tell_the_version_too(member: Client, verb: str, path: str, status: int) -> None:
    headers = asked("1.1", **{"X-Auth-Token": member.token})
    answer = member.app.request(path, method=verb, headers=headers, expect_errors=True)
    assert answer.status_int == status
    assert answer.headers[HEADER] == "key-manager 1.1"
    assert HEADER.lower() in answer.headers["Vary"].lower()


@pytest.mark.parametrize("path", ["/v1/quotas", "/v1/secrets", "/v1/secret-stores", "/v1/transport_keys"])
def test_everything_else_needs_a_token(service: Service, path: str) -> None:
    """A client takes the title from the top of the body."""
    answer = service.app.get(path, status=401)
    assert answer.json["title"] == "Unauthorized"


def test_every_noun_of_the_contract_leads_somewhere() -> None:
    """What leads to none is a document."""
    assert set(KEY_MANAGER_CONTROLLERS) <= KEY_MANAGER_NOUNS
    assert all(noun.endswith(".json") for noun in KEY_MANAGER_NOUNS - set(KEY_MANAGER_CONTROLLERS))


@pytest.mark.parametrize(("verb", "path"), routes(KEY_MANAGER))
def test_a_slash_at_the_end_changes_nothing(admin: Client, verb: str, path: str) -> None:
    parts = path.replace("{", "").split("/")
    there = "/".join(new_id() if part.endswith("}") else part for part in parts)
    answers = [admin.call(verb, there + slash) for slash in ("", "/")]
    plain, slashed = (answer.status_int for answer in answers)
    assert plain == slashed and not 300 <= plain < 400 and plain < 500
    assert all("Location" not in answer.headers for answer in answers)


def test_there_are_no_transport_keys(member: Client, admin: Client) -> None:
    empty = {"transport_keys": [], "total": 0}
    assert member.get("/v1/transport_keys") == empty
    assert member.get("/v1/transport_keys/?limit=5&offset=5&plugin_name=x") == empty
    for caller, verb in ((member, "GET"), (admin, "DELETE")):
        fault = caller.refused(verb, f"/v1/transport_keys/{new_id()}", 404)
        assert fault["error"] == "transport_key.not_found"
    member.refused("DELETE", f"/v1/transport_keys/{new_id()}", 403)
    answer = admin.call("POST", "/v1/transport_keys", {"plugin_name": "x", "transport_key": "y"})
    assert answer.status_int == 405 and "GET" in answer.headers["Allow"]
