"""Bad input of every kind, at every route: a 4xx with the one fault body, and the field that is wrong."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote, quote_from_bytes

import pytest
import webtest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protectd.api.routes import routes
from tests.fakes.service import MEMORY_ID, Client, Service, fault_of, run_body

UNKNOWN_ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

TEXT = st.text(max_size=40) | st.sampled_from(
    ["", " ", "..", "/", "a" * 300, UNKNOWN_ID, MEMORY_ID, "directory", "é" * 200, "'; --", "%s", "{}"]
)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
KEYS = ("plan", "checkpoint", "restore", "verification", "instance")
FIELDS = (
    "name",
    "description",
    "provider_id",
    "parameters",
    "resources",
    "status",
    "plan_id",
    "extra-info",
    "extra_info",
    "checkpoint_id",
    "restore_target",
    "restore_auth",
    "depth",
    "properties",
)
INNER = st.dictionaries(st.sampled_from(FIELDS) | TEXT, JSON, max_size=6)
BODY = JSON | st.dictionaries(st.sampled_from(KEYS), INNER, max_size=2)
HEADERS = (
    "HTTP_HOST",
    "HTTP_ACCEPT",
    "HTTP_X_FORWARDED_FOR",
    "CONTENT_TYPE",
    "HTTP_X_AUTH_TOKEN",
    "HTTP_IDEMPOTENCY_KEY",
)
QUERY_NAMES = (
    "limit",
    "offset",
    "marker",
    "sort",
    "sort_key",
    "sort_dir",
    "all_tenants",
    "project_id",
    "name",
    "status",
    "start_date",
    "end_date",
    "parameters",
    "plan_id",
)


def filled(path: str, client: Client, id: str = UNKNOWN_ID) -> str:
    """A route's template with this caller's project and ids that fit: whatever else is asked for is one."""
    known = dict.fromkeys(re.findall(r"{(\w+)}", path), id) | {
        "project_id": client.project_id,
        "quota_project_id": client.project_id,
        "provider_id": MEMORY_ID,
        "protectable_type": "directory",
        "class_name": "default",
        "key": "key",
    }
    return path.format(**known)


def send(client: Client, method: str, url: str, raw: bytes = b"", **environ: Any) -> webtest.TestResponse:
    """A request as it stands on the wire. Nothing is ever the server's fault."""
    request = webtest.TestRequest.blank("/", method=method)
    path, _, query = url.partition("?")
    request.environ["PATH_INFO"] = path_info(path)
    request.environ["QUERY_STRING"] = query
    request.headers["X-Auth-Token"] = client.token
    request.content_type = "application/json"
    request.body = raw
    request.environ.update(environ)
    app = webtest.TestApp(client.app.app, lint="CONTENT_LENGTH" not in environ)
    answer = app.do_request(request, expect_errors=True)
    assert answer.status_int < 500, f"{method} {url}: {answer.text}"
    if answer.status_int >= 400 and method != "HEAD":
        fault_of(answer)
    return answer


def path_info(path: str) -> str:
    """What a server makes of an escaped path."""
    raw, rest = b"", path.encode()
    while rest:
        head, escape, rest = rest.partition(b"%")
        raw += head
        if escape:
            raw, rest = raw + bytes([int(rest[:2], 16)]), rest[2:]
    return raw.decode("latin-1")


WRITING = [(method, path) for method, path in routes() if method in ("POST", "PUT")]
READING = [(method, path) for method, path in routes() if method == "GET" and path not in ("/", "/v1")]


@pytest.mark.parametrize(("method", "path"), WRITING)
@FEW
@given(body=BODY)
def test_no_body_is_the_servers_fault(member: Client, method: str, path: str, body: Any) -> None:
    answer = send(member, method, filled(path, member), json.dumps(body).encode())
    assert answer.status_int < 400 or answer.status_int in (401, 403, 404) or "field" in fault_of(answer)


@pytest.mark.parametrize(("method", "path"), WRITING)
@FEW
@given(raw=st.binary(min_size=1, max_size=60).filter(lambda raw: raw.strip() != b"{}"))
def test_bytes_that_are_no_json_are_refused(member: Client, method: str, path: str, raw: bytes) -> None:
    assert send(member, method, filled(path, member), raw).status_int >= 400


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a body, as keys from the top."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [path, *(place for key, member in members for place in places(member, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = replaced(value[path[0]], path[1:], new)
    return copied


@pytest.fixture(scope="module")
def good(direct: Service) -> tuple[Client, dict[str, Any]]:
    """Bodies that are accepted, by the path they are sent to."""
    client = direct.client()
    plan = client.plan_body(direct.directory("good"), parameters={"directory": {"excludes": ["x"]}})
    plan["plan"]["description"] = "d"
    made = client.checkpoint(client.post("plans", plan, 201)["plan"])
    target = {"directory": {"path": str(direct.allowed / "target"), "overwrite": True}}
    verification = run_body(made, depth="structure")
    restore = run_body(made, parameters=target, restore_target=None, restore_auth={"type": "password"})
    instance = {"name": "n", "properties": {"path": str(direct.allowed)}}
    checkpoint = {"plan_id": made["protection_plan"]["id"], "extra-info": {"k": "v"}}
    return client, {
        "plans": plan,
        f"providers/{MEMORY_ID}/checkpoints": {"checkpoint": checkpoint},
        "restores": {"restore": restore},
        "verifications": {"verification": verification},
        "protectables/directory/instances": {"instance": instance},
    }


@pytest.mark.parametrize("noun", ["plans", "checkpoints", "restores", "verifications", "instances"])
@settings(FEW, max_examples=40)
@given(data=st.data())
def test_one_wrong_value_in_a_good_body_is_named_or_accepted(
    good: tuple[Client, dict[str, Any]], noun: str, data: st.DataObject
) -> None:
    client, bodies = good
    path = next(path for path in bodies if path.endswith(noun))
    place = data.draw(st.sampled_from(places(bodies[path])))
    body = replaced(bodies[path], place, data.draw(JSON))
    answer = send(client, "POST", f"/v1/{client.project_id}/{path}", json.dumps(body).encode())
    if answer.status_int >= 400:
        assert fault_of(answer)["field"].startswith(str(place[0]) if place else "")


@pytest.mark.parametrize(("method", "path"), READING)
@FEW
@given(query=st.dictionaries(st.sampled_from(QUERY_NAMES) | TEXT, TEXT, max_size=4))
def test_no_query_is_the_servers_fault(member: Client, method: str, path: str, query: dict[str, str]) -> None:
    text = "&".join(
        f"{quote(name, safe='', errors='replace')}={quote(value, safe='', errors='replace')}"
        for name, value in query.items()
    )
    send(member, method, f"{filled(path, member)}?{text}")


@pytest.mark.parametrize(("method", "path"), [route for route in routes() if "_id}" in route[1][20:]])
@FEW
@given(id=st.binary(min_size=1, max_size=40))
def test_no_id_in_a_path_is_the_servers_fault(member: Client, method: str, path: str, id: bytes) -> None:
    answer = send(
        member, method, filled(path, member, quote_from_bytes(id, safe="")), b'{"plan": {"name": "n"}}'
    )
    assert answer.status_int >= 400 or method == "GET"


@FEW
@given(path=st.binary(max_size=60))
def test_no_path_is_the_servers_fault(member: Client, path: bytes) -> None:
    send(member, "GET", "/" + quote_from_bytes(path, safe="/"))


@FEW
@given(
    name=st.sampled_from([*HEADERS, "HTTP_CONTENT_ENCODING"]),
    value=st.text(st.characters(max_codepoint=255), max_size=40),
)
def test_no_header_is_the_servers_fault(member: Client, name: str, value: str) -> None:
    send(member, "POST", filled("/v1/{project_id}/plans", member), b"{}", **{name: value})
    send(member, "GET", filled("/v1/{project_id}/plans", member), **{name: value})


@pytest.mark.parametrize(
    "id", ["x", "%00", "..", "%2e%2e", "%ff", "%2F", "1" * 37, "index", "_route", "__class__"]
)
@pytest.mark.parametrize("noun", ["plans", "restores", "verifications", "operation_logs", "providers"])
def test_an_id_that_is_none_is_refused(member: Client, noun: str, id: str) -> None:
    assert send(member, "GET", f"/v1/{member.project_id}/{noun}/{id}").status_int in (400, 404)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"\xff", "body"),
        (b"\xef\xbb\xbf{}", "body"),
        (b"[]", "body"),
        (b"null", "body"),
        (b"NaN", "body"),
        (b'{"plan": 1}', "plan"),
        (b'{"plan": {}, "plan": {}}', "plan"),
        (b'{"plan": {"a": 1}}', "plan.a"),
        (b'{"plan": {"name": "a\\u0000"}}', "plan.name"),
        (b'{"plan": {"name": "\\ud800"}}', "plan.name"),
        (b'{"plan": {"name": 1e999}}', "plan.name"),
        (b'{"plan": {"name": 9999999999999999999999}}', "plan.name"),
        (b'{"other": {}}', "other"),
        (
            b'{"plan": {"name": "n", "provider_id": "x", "parameters": {}, "resources": []}}',
            "plan.provider_id",
        ),
        (b"[" * 100_000, "body"),
        (b'{"a":' * 500 + b"1" + b"}" * 500, "a.a.a"),
    ],
)
def test_malformed_json_is_told_by_its_place(member: Client, raw: bytes, field: str) -> None:
    answer = send(member, "POST", filled("/v1/{project_id}/plans", member), raw)
    assert answer.status_int == 400
    assert fault_of(answer)["field"].startswith(field)


def test_a_body_of_another_type_is_415(member: Client) -> None:
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        answer = send(
            member, "POST", filled("/v1/{project_id}/plans", member), b"{}", CONTENT_TYPE=media_type
        )
        assert (fault_of(answer)["name"], fault_of(answer)["field"]) == ("badMediaType", "Content-Type")


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"CONTENT_TYPE": "application/json; charset=latin-1"}, "Content-Type"),
        ({"CONTENT_TYPE": 'application/json;charset="utf-16"'}, "Content-Type"),
        ({"HTTP_CONTENT_ENCODING": "gzip"}, "Content-Encoding"),
    ],
)
def test_a_body_that_is_coded_in_another_way_is_415(
    member: Client, headers: dict[str, str], field: str
) -> None:
    answer = send(member, "POST", filled("/v1/{project_id}/plans", member), b'{"plan": {}}', **headers)
    assert (answer.status_int, fault_of(answer)["field"]) == (415, field)


def test_a_charset_beside_the_type_is_fine(member: Client) -> None:
    answer = send(
        member,
        "POST",
        filled("/v1/{project_id}/plans", member),
        b'{"plan": {}}',
        CONTENT_TYPE="application/json; charset=UTF-8",
    )
    assert fault_of(answer)["field"] == "plan.name"


def test_a_large_body_is_413_whether_its_length_is_told_or_not(member: Client, service: Service) -> None:
    raw = b"x" * (service.parts.conf.api.max_body_bytes + 1)
    url = filled("/v1/{project_id}/plans", member)
    told = send(member, "POST", url, raw)
    chunked = send(member, "POST", url, raw, CONTENT_LENGTH="", HTTP_TRANSFER_ENCODING="chunked")
    for answer in (told, chunked):
        assert (fault_of(answer)["name"], fault_of(answer)["field"]) == ("overLimit", "body")
        assert answer.headers["Retry-After"] == "0"


def test_a_chunked_body_is_read(member: Client) -> None:
    answer = send(
        member,
        "POST",
        filled("/v1/{project_id}/plans", member),
        b'{"plan": {"name": 1}}',
        CONTENT_LENGTH="",
        HTTP_TRANSFER_ENCODING="chunked",
    )
    assert fault_of(answer)["field"] == "plan.name"


@pytest.mark.parametrize("length", ["-1", "x", "1" * 30, "٣"])
def test_a_length_that_is_no_number_is_refused(member: Client, length: str) -> None:
    answer = send(member, "POST", filled("/v1/{project_id}/plans", member), b"{}", CONTENT_LENGTH=length)
    assert fault_of(answer)["field"] == "Content-Length"


def test_a_body_that_ends_early_is_refused(member: Client) -> None:
    answer = send(member, "POST", filled("/v1/{project_id}/plans", member), b"{}", CONTENT_LENGTH="20")
    assert fault_of(answer)["error"] == "body.malformed"


def test_a_get_with_a_json_type_and_no_body_passes(member: Client) -> None:
    member.app.get(
        f"/v1/{member.project_id}/plans",
        headers={"X-Auth-Token": member.token, "Content-Type": "application/json"},
        status=200,
    )


def test_an_unknown_path_is_a_404_in_json(member: Client) -> None:
    for path in ("nothing", "plans/a/b/c", "", "plans//", "/plans", "checkpoints"):
        assert member.refused("GET", f"/v1/{member.project_id}/{path}", 404)["name"] == "itemNotFound"


def test_a_slash_at_the_end_is_forgiven(member: Client) -> None:
    assert member.get("plans/") == {"plans": []}


@pytest.mark.parametrize(("method", "path"), routes())
def test_every_listed_route_is_answered(member: Client, method: str, path: str) -> None:
    answer = send(member, method, filled(path, member))
    assert answer.status_int != 405
    if answer.status_int == 404:
        assert fault_of(answer)["error"] != "path.not_found"


@pytest.mark.parametrize("path", sorted({path for _, path in routes()}))
def test_another_verb_is_a_405_that_names_the_right_ones(member: Client, path: str) -> None:
    answered = {method for method, other in routes() if other == path}
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - answered:
        answer = send(member, method, filled(path, member))
        assert fault_of(answer)["name"] == "badMethod"
        assert answered <= set(answer.headers["Allow"].split(", "))


def test_options_tells_the_verbs(member: Client) -> None:
    answer = send(member, "OPTIONS", filled("/v1/{project_id}/plans", member))
    assert (answer.status_int, answer.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, POST")


def test_head_is_get_without_its_body(member: Client) -> None:
    url = filled("/v1/{project_id}/plans", member)
    got, head = send(member, "GET", url), send(member, "HEAD", url)
    assert head.body == b""
    assert head.headers["Content-Length"] == got.headers["Content-Length"]


def test_a_verb_nobody_knows_is_405(member: Client) -> None:
    assert send(member, "BREW", filled("/v1/{project_id}/plans", member)).status_int == 405


def test_a_host_that_is_none_is_refused(member: Client) -> None:
    answer = send(member, "GET", filled("/v1/{project_id}/plans", member), HTTP_HOST='evil"><')
    assert fault_of(answer)["field"] == "Host"
