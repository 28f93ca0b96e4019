"""Secrets through the key manager's contract: kept, read, listed, shared, deleted."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import webtest

from protectd.common.ids import new_id
from tests.fakes.cuts import Line, When, line_to
from tests.fakes.published_client import serving
from tests.fakes.service import Client, Service, running

pytest_plugins = ["tests.fakes.databases"]

TEXT = "text/plain"
OCTETS = "application/octet-stream"
PKCS8 = "application/pkcs8"
BYTES = bytes(range(256))
BASE64 = base64.b64encode(BYTES).decode()
UNKNOWN_ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


def secret_id(answer: dict[str, Any]) -> str:
    return str(answer["secret_ref"]).rpartition("/")[2]


def keep(client: Client, **body: Any) -> str:
    """Path of a new secret."""
    return "/v1/secrets/" + secret_id(client.post("/v1/secrets", body, 201))


def text(client: Client, payload: str = "correct horse", **more: Any) -> str:
    return keep(client, payload=payload, payload_content_type=TEXT, **more)


def payload(client: Client, path: str, accept: str | None = None, status: int = 200) -> webtest.TestResponse:
    headers = {} if accept is None else {"Accept": accept}
    answer = client.call("GET", f"{path}/payload", **headers)
    assert answer.status_int == status, answer
    return answer


def upload(client: Client, path: str, body: bytes, **headers: str) -> webtest.TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items() if name != "Content_Type"}
    told = {"X-Auth-Token": client.token, **named}
    return client.app.put(path, body, headers=told, content_type=headers["Content_Type"], expect_errors=True)


@pytest.fixture(params=["postgresql", "mariadb"])
def line(request: pytest.FixtureRequest) -> Iterator[Line]:
    with line_to(request.getfixturevalue(request.param)) as line:
        yield line


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_secret_is_kept_once_on_whichever_side_of_the_commit_the_line_breaks(
    tmp_path: Path, line: Line, cut: When
) -> None:
    with running(tmp_path, database=line.url) as remote:
        client = remote.client()
        text(client)
        line.arm(cut)
        path = text(client, "once")
        assert line.cut is None and client.get("/v1/secrets")["total"] == 2
        line.arm(cut)
        assert client.call("DELETE", path).status_int == 204
        assert line.cut is None and client.get("/v1/secrets")["total"] == 1


# --- one step ---


def test_a_secret_is_kept_and_read(member: Client) -> None:
    answer = member.call(
        "POST", "/v1/secrets", {"name": "n", "payload": "text é", "payload_content_type": TEXT}
    )
    assert answer.status_int == 201
    assert list(answer.json) == ["secret_ref"] and answer.headers["Location"] == answer.json["secret_ref"]
    path = "/v1/secrets/" + secret_id(answer.json)
    assert payload(member, path, TEXT).body == "text é".encode()
    shown = member.get(path)
    assert set(shown) == {
        *("created", "updated", "status", "name", "secret_type", "expiration", "algorithm"),
        *("bit_length", "mode", "creator_id", "secret_ref", "content_types"),
    }
    assert shown["status"] == "ACTIVE" and shown["content_types"] == {"default": TEXT}
    assert shown["secret_ref"] == answer.json["secret_ref"]


def test_labels_come_back(member: Client) -> None:
    labels = {"name": " é ", "algorithm": "aes", "mode": "cbc", "bit_length": 256, "secret_type": "symmetric"}
    shown = member.get(keep(member, **labels, expiration="2999-01-02T03:04:05+01:00"))
    assert {name: shown[name] for name in labels} == labels | {"name": "é"}
    assert shown["expiration"] == "2999-01-02T02:04:05"
    assert "content_types" not in shown


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"payload": "x"}, "payload_content_type"),
        ({"payload": "x", "payload_content_type": None}, "payload_content_type"),
        ({"payload_content_type": TEXT}, "payload"),
        ({"payload": "", "payload_content_type": TEXT}, "payload"),
        ({"payload": " \n", "payload_content_type": TEXT}, "payload"),
        (
            {"payload": "eA==", "payload_content_type": TEXT, "payload_content_encoding": "base64"},
            "payload_content_encoding",
        ),
        ({"payload": "x", "payload_content_type": OCTETS}, "payload_content_encoding"),
        ({"payload": "x", "payload_content_type": PKCS8}, "payload_content_encoding"),
        ({"payload": "x", "payload_content_type": OCTETS, "payload_content_encoding": "binary"}, None),
        ({"payload": "eA=", "payload_content_type": OCTETS, "payload_content_encoding": "base64"}, "payload"),
        (
            {"payload": "%%%%", "payload_content_type": OCTETS, "payload_content_encoding": "base64"},
            "payload",
        ),
        ({"payload": "x", "payload_content_type": "application/aes"}, "payload_content_type"),
        ({"payload": "x", "payload_content_type": "text/plain; charset=latin-1"}, "payload_content_type"),
        ({"name": "x" * 256}, "name"),
        ({"name": 1}, "name"),
        ({"algorithm": None}, "algorithm"),
        ({"bit_length": 0}, "bit_length"),
        ({"bit_length": 32768}, "bit_length"),
        ({"bit_length": "256"}, "bit_length"),
        ({"bit_length": None}, "bit_length"),
        ({"expiration": "yesterday"}, "expiration"),
        ({"expiration": "2020-01-01T00:00:00"}, "expiration"),
        ({"secret_type": "jwt"}, "secret_type"),
        ({"transport_key_needed": "true"}, "transport_key_needed"),
        ({"name": "a\u0000b"}, None),
        ([], "body"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(member: Client, body: Any, field: str | None) -> None:
    fault = member.refused("POST", "/v1/secrets", 400, body)
    assert field is None or fault["field"] == field


@pytest.mark.parametrize("body", [{}, {"name": None}, {"expiration": " "}, {"unknown": {"is": "ignored"}}])
def test_a_secret_may_be_without_anything(member: Client, body: dict[str, Any]) -> None:
    shown = member.get(keep(member, **body))
    assert (shown["name"], shown["secret_type"], shown["expiration"]) == (None, "opaque", None)


@pytest.mark.parametrize(
    "said", [TEXT, "text/plain;charset=utf-8", "text/plain; charset=UTF-8", "TEXT/PLAIN"]
)
def test_texts_are_texts_and_nothing_is_trimmed(member: Client, said: str) -> None:
    path = keep(member, payload=" -----BEGIN\n ", payload_content_type=said)
    assert member.get(path)["content_types"] == {"default": TEXT}
    assert payload(member, path, TEXT).body == b" -----BEGIN\n "


def test_too_much_is_too_much(member: Client) -> None:
    text(member, "x" * 20_000)
    member.refused("POST", "/v1/secrets", 413, {"payload": "x" * 20_001, "payload_content_type": TEXT})
    member.refused("POST", "/v1/secrets", 400, {"name": "n", "note": "x" * 25_000})


@pytest.mark.parametrize(
    ("stored", "accept", "told"),
    [
        (TEXT, TEXT, TEXT),
        (TEXT, "text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        (TEXT, OCTETS, OCTETS),
        (TEXT, PKCS8, PKCS8),
        (TEXT, "*/*", TEXT),
        (TEXT, None, OCTETS),
        (TEXT, "application/json", None),
        (TEXT, "text/html", None),
        (TEXT, f"{TEXT}, {OCTETS}", None),
        (OCTETS, TEXT, None),
        (OCTETS, OCTETS, OCTETS),
        (OCTETS, PKCS8, PKCS8),
        (OCTETS, "*/*", OCTETS),
        (OCTETS, None, OCTETS),
        (OCTETS, "application/json", None),
        (PKCS8, TEXT, None),
        (PKCS8, OCTETS, OCTETS),
        (PKCS8, "*/*", PKCS8),
    ],
)
def test_a_payload_is_given_out_as_it_is_accepted(
    member: Client, stored: str, accept: str | None, told: str | None
) -> None:
    if stored == TEXT:
        path, plain = text(member, "plain"), b"plain"
    else:
        binary = {"payload_content_type": stored, "payload_content_encoding": "base64"}
        path, plain = keep(member, payload=BASE64, **binary), BYTES
    answer = payload(member, path, accept, status=406 if told is None else 200)
    if told is not None:
        assert (answer.headers["Content-Type"], answer.body) == (told, plain)


def test_clients_of_old_read_the_payload_of_the_secret_itself(member: Client) -> None:
    assert member.call("GET", text(member, "old"), Accept=TEXT).body == b"old"


# --- two steps ---


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b" as is \n", {"Content_Type": TEXT}, 204),
        (b"eA==", {"Content_Type": TEXT, "Content_Encoding": "base64"}, 204),
        (BYTES, {"Content_Type": OCTETS}, 204),
        (BASE64.encode(), {"Content_Type": OCTETS, "Content_Encoding": "base64"}, 204),
        (b"%%%%", {"Content_Type": OCTETS, "Content_Encoding": "base64"}, 400),
        (b"x", {"Content_Type": OCTETS, "Content_Encoding": "gzip"}, 400),
        (b"\xff", {"Content_Type": TEXT}, 400),
        (b"", {"Content_Type": TEXT}, 400),
        (b"{}", {"Content_Type": "application/json"}, 415),
        (b"x", {"Content_Type": PKCS8}, 415),
        (b"x" * 20_001, {"Content_Type": OCTETS}, 413),
    ],
)
def test_a_payload_may_come_later(member: Client, body: bytes, headers: dict[str, str], status: int) -> None:
    path = keep(member)
    assert upload(member, path, body, **headers).status_int == status
    if status != 204:
        payload(member, path, status=404)
        return
    coded = headers.get("Content_Encoding") and headers["Content_Type"] == OCTETS
    assert payload(member, path, OCTETS).body == (BYTES if coded else body)
    assert upload(member, path, b"other", Content_Type=TEXT).status_int == 409


# --- many ---


def test_what_is_only_shown_is_read_without_what_opens_it(service: Service, member: Client) -> None:
    path = text(member)
    with service.counted_statements() as seen:
        shown = member.get(path)
        assert member.get("/v1/secrets")["secrets"] == [shown]
    assert seen and not [each for each in seen if "cipher_text" in each or "key_id" in each]


def test_a_list_is_paged_by_links_that_lead_on(service: Service) -> None:
    client = service.client()
    paths = [text(client, name=f"secret {number}", algorithm="aes") for number in range(25)]
    names, url = [], "/v1/secrets?alg=a%25s&limit=10"
    while url:
        page = client.get(url)
        assert page["total"] == 25
        names += [entry["secret_ref"].rpartition("/v1")[2] for entry in page["secrets"]]
        url = page.get("next", "").partition("/v1")[2]
        url = f"/v1{url}" if url else ""
    assert [f"/v1{name}" for name in names] == paths
    last = client.get("/v1/secrets?limit=10&offset=20")
    assert "previous" in last and "next" not in last
    assert set(client.get("/v1/secrets?offset=25")) == {"secrets", "total"}


@pytest.mark.parametrize(("limit", "shown"), [("0", 1), ("-5", 1), ("x", 10), ("3", 3), ("1000", 12)])
def test_limits_are_made_the_best_of(service: Service, limit: str, shown: int) -> None:
    client = service.client()
    for _ in range(12):
        keep(client)
    assert len(client.get(f"/v1/secrets?limit={limit}")["secrets"]) == shown


def test_filters_narrow(service: Service) -> None:
    client = service.client()
    keep(client, name="one", bit_length=128, mode="cbc", secret_type="symmetric")
    keep(client, name="two", bit_length=256, expiration="2999-01-01T00:00:00")
    for query, names in {
        "name=one": ["one"],
        "name=%25o%25": ["one", "two"],
        "bits=256": ["two"],
        "bits=junk": ["one", "two"],
        "mode=c_c": ["one"],
        "secret_type=symmetric": ["one"],
        "expiration=gt:2998-01-01T00:00:00": ["two"],
        "created=lt:2000-01-01T00:00:00": [],
        "created=gte:2000-01-01T00:00:00,lte:2999-01-01T00:00:00": ["one", "two"],
        "sort=name:desc": ["two", "one"],
        "sort=bit_length,name": ["one", "two"],
        "unknown=1": ["one", "two"],
    }.items():
        found = client.get(f"/v1/secrets?{query}")
        assert [entry["name"] for entry in found["secrets"]] == names, query
        assert found["total"] == len(names)


@pytest.mark.parametrize("name", ["created", "updated", "expiration"])
def test_bounds_are_exact_to_the_microsecond(shared: Service, name: str) -> None:
    """On every database."""
    client = shared.client()
    paths = [keep(client, expiration=f"2999-01-01T00:00:00.00000{number}") for number in (1, 2, 3)]
    moments = [client.get(path)[name] for path in paths]
    for bound, found in {
        f"gt:{moments[1]}": paths[2:],
        f"gte:{moments[1]}": paths[1:],
        f"lt:{moments[1]}": paths[:1],
        f"lte:{moments[1]}": paths[:2],
        moments[1]: paths[1:2],
        f"gt:{moments[0]},lt:{moments[2]}": paths[1:2],
        f"gte:{moments[0]},lte:{moments[2]}": paths,
        f"gt:{moments[0]}Z,lte:{moments[2]}%2B00:00": paths[1:],
    }.items():
        listed = client.get(f"/v1/secrets?{name}={bound}")
        assert ["/v1" + each["secret_ref"].partition("/v1")[2] for each in listed["secrets"]] == found, bound
        assert listed["total"] == len(found)


def test_lists_are_sorted_by_several_keys(shared: Service) -> None:
    """By the first, and where that is the same by the next."""
    client = shared.client()
    made = [("b", 128), ("a", 256), ("b", 256), ("a", 128)]
    for name, bits in made:
        keep(client, name=name, bit_length=bits)
    for sort, wanted in {
        "name,bit_length": [("a", 128), ("a", 256), ("b", 128), ("b", 256)],
        "name:desc,bit_length": [("b", 128), ("b", 256), ("a", 128), ("a", 256)],
        "bit_length:desc,name:asc": [("a", 256), ("b", 256), ("a", 128), ("b", 128)],
        "status,name,created:desc": [("a", 128), ("a", 256), ("b", 256), ("b", 128)],
    }.items():
        pages = [client.get(f"/v1/secrets?sort={sort}&limit=2&offset={at}")["secrets"] for at in (0, 2)]
        assert [(each["name"], each["bit_length"]) for page in pages for each in page] == wanted, sort


@pytest.mark.parametrize(
    "query",
    [
        "sort=color",
        "sort=name,name:desc",
        "sort=name:up",
        "created=soon",
        "created=gt:2020-01-01,gte:2021-01-01",
        "updated=lt:2020-01-01,2021-01-01",
    ],
)
def test_a_list_that_cannot_be_made_is_refused(member: Client, query: str) -> None:
    assert member.refused("GET", f"/v1/secrets?{query}", 400)["field"] == query.partition("=")[0]


# --- end ---


def test_a_deleted_secret_is_gone_with_its_bytes(service: Service, member: Client) -> None:
    path = text(member, "gone")
    assert member.call("DELETE", path).status_int == 204
    member.refused("GET", path, 404)
    payload(member, path, status=404)
    member.refused("DELETE", path, 404)
    with service.parts.database.read() as uow:
        row = uow.secrets.find(path.rpartition("/")[2], include_deleted=True)
        assert row is not None and row.cipher_text == b""


def test_an_expired_secret_is_not_found(service: Service, member: Client) -> None:
    path = text(member)
    with service.parts.database.write() as uow:
        uow.secrets.get(path.rpartition("/")[2]).expiration = service.parts.clock.now() - timedelta(seconds=1)
    for place in (path, f"{path}/payload", f"{path}/acl", f"{path}/consumers", f"{path}/metadata"):
        member.refused("GET", place, 404)
    assert path not in str(member.get("/v1/secrets?limit=100"))


@pytest.mark.parametrize("id", ["x", "0", UNKNOWN_ID.upper(), UNKNOWN_ID.replace("-", ""), "%00"])
def test_what_is_no_id_is_not_found(member: Client, id: str) -> None:
    assert member.call("GET", f"/v1/secrets/{id}").status_int in (400, 404)


# --- consumers ---

CONSUMER = {"service": "image", "resource_type": "image", "resource_id": "some-image"}
V12 = {"OpenStack-API-Version": "key-manager 1.2"}


def test_consumers_keep_a_secret_from_being_deleted(member: Client) -> None:
    path = text(member)
    shown = member.post(f"{path}/consumers/", CONSUMER, 200)
    assert "consumers" not in shown
    again = member.call("POST", f"{path}/consumers", CONSUMER, **V12).json
    assert again["consumers"] == [CONSUMER]
    listed = member.get(f"{path}/consumers")
    assert listed["total"] == 1 and listed["consumers"][0].items() >= CONSUMER.items()
    refused = member.call("DELETE", path, **V12)
    assert refused.status_int == 400
    assert refused.json["description"] == "Secret cannot be deleted as it has consumers."
    assert member.call("DELETE", f"{path}?force=maybe", **V12).status_int == 400
    gone = member.call("DELETE", f"{path}/consumers", CONSUMER, **V12)
    assert (gone.status_int, gone.json["consumers"]) == (200, [])
    member.refused("DELETE", f"{path}/consumers", 404, CONSUMER)
    assert member.call("DELETE", path, **V12).status_int == 204


def test_force_deletes_with_all_consumers(service: Service, member: Client) -> None:
    path = text(member)
    for number in range(15):
        member.post(f"{path}/consumers", CONSUMER | {"resource_id": f"{number}"}, 200)
    assert member.call("DELETE", f"{path}?force=1", **V12).status_int == 204
    with service.parts.database.read() as uow:
        assert uow.secrets.consumers([path.rpartition("/")[2]]) == []


def test_a_reader_takes_away_what_it_has_said_and_nothing_else(service: Service, member: Client) -> None:
    """Or it would let a secret be deleted that others need."""
    reader, path = service.client(), text(member)
    box = member.post("/v1/containers", {"type": "generic"}, 201)["container_ref"].partition("/v1")[2]
    user = reader.get(keep(reader))["creator_id"]
    balancer = {"name": "balancer", "URL": "http://example.com"}
    for place, consumer, other in (
        (path, CONSUMER, CONSUMER | {"resource_id": "other"}),
        (f"/v1{box}", balancer, balancer | {"name": "other"}),
    ):
        member.call("PUT", f"{place}/acl", {"read": {"users": [user]}})
        member.post(f"{place}/consumers", consumer, 200)
        reader.post(f"{place}/consumers", consumer, 200)
        reader.post(f"{place}/consumers", other, 200)
        fault = reader.refused("DELETE", f"{place}/consumers", 403, consumer)
        assert fault["error"] == "secret.consumer_of_others"
        assert member.get(f"{place}/consumers")["total"] == 2
        assert reader.call("DELETE", f"{place}/consumers", other).status_int == 200
        reader.refused("DELETE", f"{place}/consumers", 404, other)
        reader.post(f"{place}/consumers", other, 200)
        assert member.call("DELETE", f"{place}/consumers", other).status_int == 200
        assert member.call("DELETE", f"{place}/consumers", consumer).status_int == 200


@pytest.mark.parametrize("missing", list(CONSUMER))
def test_a_consumer_needs_its_three_names(member: Client, missing: str) -> None:
    path = keep(member)
    body = {name: value for name, value in CONSUMER.items() if name != missing}
    assert member.refused("POST", f"{path}/consumers", 400, body)["field"] == missing


# --- notes ---


def test_notes_are_added_changed_and_removed(member: Client) -> None:
    path = f"{keep(member)}/metadata"
    assert member.get(path) == {"metadata": {}}
    assert "metadata_ref" in member.call("PUT", path, {"metadata": {"A": "1", "b": "2"}}).json
    assert member.get(path) == {"metadata": {"a": "1", "b": "2"}}
    added = member.call("POST", path, {"key": "c", "value": "3"})
    assert added.status_int == 201 and added.headers["Location"].endswith("/metadata/c")
    member.refused("POST", path, 409, {"key": "C", "value": "4"})
    assert member.call("PUT", f"{path}/c", {"key": "c", "value": "5"}).json == {"key": "c", "value": "5"}
    member.refused("PUT", f"{path}/c", 409, {"key": "d", "value": "5"})
    member.refused("PUT", f"{path}/d", 404, {"key": "d", "value": "5"})
    assert member.get(f"{path}/c") == {"key": "c", "value": "5"}
    for _ in range(2):
        assert member.call("DELETE", f"{path}/c").status_int == 204
    member.refused("GET", f"{path}/c", 404)
    member.refused("PUT", path, 400, {"metadata": {"a b": "1"}})
    member.refused("POST", path, 400, {"key": "a\r\nX-Other: b", "value": "1"})
    member.refused("POST", path, 400, {"key": "\u0130" * 255, "value": "1"})
    member.refused("PUT", path, 400, {"metadata": {"a": 1}})
    member.refused("PUT", path, 400, {})


@pytest.mark.parametrize(
    "key", ["a b", "\u043a\u043b\u044e\u0447?#%", "caf\u00e9", "a/b", "a/b/.c/...", "..a/b."]
)
def test_a_note_is_found_where_the_answer_says(member: Client, key: str) -> None:
    added = member.call("POST", f"{keep(member)}/metadata", {"key": key, "value": "v"})
    assert added.status_int == 201
    path = added.headers["Location"].partition("/v1/")[2]
    assert member.get(f"/v1/{path}") == {"key": key, "value": "v"}
    assert member.call("PUT", f"/v1/{path}", {"key": key, "value": "w"}).json["value"] == "w"
    assert member.call("DELETE", f"/v1/{path}").status_int == 204
    member.refused("GET", f"/v1/{path}", 404)


def test_a_note_with_slashes_is_found_by_way_of_a_server(service: Service, member: Client) -> None:
    """Servers tell how a path was escaped, and nothing is let in that was escaped in two ways."""
    with serving(service) as endpoint:
        url, token = f"{endpoint}{keep(member)}/metadata", {"X-Auth-Token": member.token}
        note = {"key": "a/b \u00e9/c", "value": "v"}
        added = requests.post(url, json=note, headers=token, timeout=60)
        assert requests.get(added.headers["Location"], headers=token, timeout=60).json() == note
        escaped = added.headers["Location"].replace("a/b", "a%2Fb")
        assert requests.get(escaped, headers=token, timeout=60).status_code == 400


@pytest.mark.parametrize("key", [".", "..", "a/..", "../a", "a/./b", "/a", "a/", "a//b", "/", "a\n/b"])
def test_a_note_that_no_path_could_name_is_refused(member: Client, key: str) -> None:
    path = f"{keep(member)}/metadata"
    fault = member.refused("POST", path, 400, {"key": key, "value": "v"})
    assert fault["field"] == "key" and "slash" in fault["message"]
    assert member.get(path) == {"metadata": {}}


def test_a_pattern_may_have_any_character_in_it(service: Service) -> None:
    client = service.client()
    for name in ("back\\slash\\", "a/b", "plain"):
        keep(client, name=name)
    for pattern, found in (
        ("back%5Cslash%5C", ["back\\slash\\"]),
        ("back%25%5C", ["back\\slash\\"]),
        ("plain%5C", []),
        ("a/_", ["a/b"]),
        ("pl_in", ["plain"]),
    ):
        listed = client.get(f"/v1/secrets?name={pattern}")["secrets"]
        assert [each["name"] for each in listed] == found
        assert client.get(f"/v1/containers?name={pattern}")["containers"] == []


# --- who may ---


def test_another_project_sees_that_it_is_there_and_no_more(service: Service, member: Client) -> None:
    path, stranger = text(member), service.client()
    for verb, place, body in (
        ("GET", path, None),
        ("GET", f"{path}/payload", None),
        ("GET", f"{path}/acl", None),
        ("GET", f"{path}/consumers", None),
        ("GET", f"{path}/metadata", None),
        ("POST", f"{path}/consumers", CONSUMER),
        ("DELETE", f"{path}/consumers", CONSUMER),
        ("PUT", f"{path}/acl", {"read": {"users": ["me"]}}),
        ("DELETE", path, None),
    ):
        stranger.refused(verb, place, 403, body)
    assert stranger.get("/v1/secrets") == {"secrets": [], "total": 0}
    assert payload(member, path).body == b"correct horse"


def test_an_admin_of_another_project_may_show_and_delete_and_not_read(
    service: Service, member: Client
) -> None:
    path, admin = text(member), service.client(role="admin")
    assert admin.get(path)["status"] == "ACTIVE"
    payload(admin, path, status=403)
    assert admin.call("DELETE", path).status_int == 204


def test_readers_by_name_may_read_and_not_change(service: Service, member: Client) -> None:
    path, reader = text(member), service.client()
    user = reader.get(keep(reader))["creator_id"]
    assert member.get(f"{path}/acl") == {"read": {"project-access": True}}
    told = member.call("PUT", f"{path}/acl", {"read": {"users": [user]}})
    assert told.json["acl_ref"].endswith(f"{path}/acl")
    acl = member.get(f"{path}/acl")["read"]
    assert (acl["users"], acl["project-access"]) == ([user], True)
    assert payload(reader, path).body == b"correct horse"
    reader.refused("GET", f"{path}/acl", 403)
    reader.refused("DELETE", path, 403)
    assert reader.get("/v1/secrets?acl_only=true")["total"] == 1
    member.call("PATCH", f"{path}/acl", {"read": {"project-access": False}})
    assert member.get(f"{path}/acl")["read"]["users"] == [user]
    answer = member.call("DELETE", f"{path}/acl")
    assert (answer.status_int, answer.body) == (200, b"null")
    payload(reader, path, status=403)


def test_a_private_secret_is_its_creators_and_the_admins(service: Service) -> None:
    project = new_id()
    creator, colleague = service.client(project), service.client(project)
    admin = service.client(project, role="admin")
    path = text(creator)
    assert payload(colleague, path).body == b"correct horse"
    creator.call("PUT", f"{path}/acl", {"read": {"project-access": False}})
    payload(colleague, path, status=403)
    colleague.refused("DELETE", path, 403)
    assert payload(creator, path).body == payload(admin, path).body == b"correct horse"


@pytest.mark.parametrize(
    "body",
    [
        {"write": {}},
        {"read": {"users": "me"}},
        {"read": {"users": ["me", 1]}},
        {"read": {"users": ["me", "me "]}},
        {"read": {"project-access": "no"}},
        {"read": {"x": 1}},
    ],
)
def test_a_list_of_readers_that_is_none_is_refused(member: Client, body: Any) -> None:
    member.refused("PUT", f"{keep(member)}/acl", 400, body)


def test_a_reader_of_the_project_lists_nothing_and_keeps_nothing(service: Service) -> None:
    reader = service.client(role="reader")
    reader.refused("POST", "/v1/secrets", 403, {})
    reader.refused("GET", "/v1/secrets", 403)


def test_the_services_own_secrets_are_nobodys(service: Service, admin: Client) -> None:
    with service.parts.database.write() as uow:
        own = service.parts.conf.secrets.service_project_id
        secret = service.parts.secrets.add(uow, own, b"vault password", secret_type="vault-password")
    path = f"/v1/secrets/{secret.id}"
    for verb, place in (("GET", path), ("GET", f"{path}/payload"), ("GET", f"{path}/acl"), ("DELETE", path)):
        admin.refused(verb, place, 404)
    assert admin.call("DELETE", f"{path}?force=1", **V12).status_int == 404
    with service.parts.database.read() as uow:
        assert service.parts.secrets.open(uow, secret.id, own) == b"vault password"


def test_a_token_of_the_services_own_project_sees_nothing_and_keeps_nothing(
    service: Service, member: Client
) -> None:
    own = service.parts.conf.secrets.service_project_id
    with service.parts.database.write() as uow:
        secret = service.parts.secrets.add(uow, own, b"x", name="of the vault", secret_type="vault-password")
    path = f"/v1/secrets/{secret.id}"
    for role in ("admin", "member"):
        insider = service.client(own, role=role)
        for query in ("", "?limit=100", "?name=of%25", "?acl_only=true", "?sort=name"):
            assert insider.get(f"/v1/secrets{query}") == {"secrets": [], "total": 0}
        for noun in ("containers", "orders"):
            assert insider.get(f"/v1/{noun}")["total"] == 0
        for verb, body in (("GET", None), ("DELETE", None)):
            insider.refused(verb, path, 404, body)
        for place, verb, body in (
            ("payload", "GET", None),
            ("acl", "GET", None),
            ("acl", "PUT", {"read": {}}),
            ("acl", "PATCH", {"read": {}}),
            ("acl", "DELETE", None),
            ("consumers", "GET", None),
            ("consumers", "POST", CONSUMER),
            ("consumers", "DELETE", CONSUMER),
            ("metadata", "GET", None),
            ("metadata", "PUT", {"metadata": {}}),
            ("metadata", "POST", {"key": "a", "value": "b"}),
            ("metadata/a", "GET", None),
            ("metadata/a", "DELETE", None),
        ):
            insider.refused(verb, f"{path}/{place}", 404, body)
        ref = {"secret_ref": f"http://localhost{path}"}
        insider.refused("POST", "/v1/containers", 403, {"type": "generic", "secret_refs": [ref]})
        insider.refused("POST", "/v1/secrets", 403, {"name": "n"})
        order = {"type": "key", "meta": {"algorithm": "aes", "bit_length": 256}}
        insider.refused("POST", "/v1/orders", 403, order)
    member.refused("POST", "/v1/containers", 404, {"type": "generic", "secret_refs": [ref]})


# --- versions ---


def test_answers_tell_the_version(member: Client) -> None:
    path = keep(member)
    assert member.call("GET", path).headers["OpenStack-API-Version"] == "key-manager 1.0"
    answer = member.call("GET", path, **{"OpenStack-API-Version": "key-manager latest"})
    assert answer.headers["OpenStack-API-Version"] == "key-manager 1.2"
    assert answer.headers["Vary"] == "openstack-api-version"
    assert answer.json["consumers"] == []
    assert member.call("GET", path, **{"OpenStack-API-Version": "key-manager 9.9"}).status_int == 406
    assert member.call("GET", path, **{"OpenStack-API-Version": "key-manager x"}).status_int == 400
    assert member.call("GET", path, **{"OpenStack-API-Version": "compute 2.79"}).status_int == 200


# --- at rest ---


def test_no_payload_lies_in_the_clear(tmp_path: Path) -> None:
    """Neither in the database and its log, nor in what the service logs."""
    marker = f"marker-{os.urandom(16).hex()}"
    with running(tmp_path) as service:
        client = service.client()
        path = text(client, marker)
        upload(client, keep(client), marker.encode(), Content_Type=OCTETS)
        client.refused("POST", "/v1/secrets", 400, {"payload": marker, "payload_content_type": "x/y"})
        assert payload(client, path).text == marker
        found = [
            file for file in tmp_path.rglob("*") if file.is_file() and marker.encode() in file.read_bytes()
        ]
    assert found == []


@pytest.mark.parametrize("version", ["1.0", "1.2"])
def test_queries_do_not_grow_with_the_number_of_secrets(service: Service, version: str) -> None:
    client = service.client()
    headers = {"OpenStack-API-Version": f"key-manager {version}"}
    path = text(client, "first")
    counts = []
    for _ in range(2):
        with service.counted_statements() as statements:
            client.call("GET", "/v1/secrets?limit=100", **headers)
        counts.append(len(statements))
        for number in range(15):
            text(client, f"{number}")
    assert counts[0] == counts[1] <= 4
    for place in (path, f"{path}/payload"):
        with service.counted_statements() as statements:
            client.call("GET", place, **headers)
        assert len([each for each in statements if each != "BEGIN"]) <= 3
