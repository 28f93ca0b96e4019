"""Whatever comes to the key manager: payloads in every form that its contract tells, and in forms that it
does not. What is kept comes back byte for byte, the rest is refused, and nothing fails.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

import pytest
import webtest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protectd.api.routes import KEY_MANAGER, routes
from protectd.common.ids import new_id
from tests.fakes.service import Client, Service, fault_of
from tests.functional.test_key_manager_containers import contain, ref
from tests.functional.test_key_manager_secrets import OCTETS, PKCS8, TEXT, keep, secret_id, text

EXAMPLES = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
MAX_BYTES, MAX_BODY = 20_000, 25_000

TEXTS = (
    TEXT,
    "text/plain;charset=utf-8",
    "text/plain; charset=utf-8",
    "TEXT/PLAIN",
    "text/plain; charset=UTF-8",
)
BINARY = (OCTETS, PKCS8, "Application/Octet-Stream")
UNKNOWN = (
    "",
    " ",
    "text/html",
    "text/plain; charset=latin-1",
    "application/json",
    "application/aes",
    "*/*",
    "x",
)

types = st.sampled_from([*TEXTS, *BINARY, *UNKNOWN])
encodings = st.sampled_from([None, "base64", "BASE64", "binary", "gzip", ""])
plain = st.one_of(
    st.binary(max_size=64),
    st.text(max_size=64).map(lambda each: each.encode("utf-8", "ignore")),
    st.sampled_from(
        [b" \n", b"\0", b"\xff\xfe", b"x" * (MAX_BYTES // 4 * 3), b"x" * MAX_BYTES, b"x" * (MAX_BYTES + 1)]
    ),
)
texts = st.one_of(
    plain.map(lambda each: base64.b64encode(each).decode()),
    st.text(max_size=64),
    st.sampled_from(
        ["%%%%", "eA=", "eA==\n", " eA == ", "e", "====", "\ufeff", "x" * MAX_BYTES, "\xe9" * MAX_BYTES]
    ),
)


@pytest.fixture(scope="module")
def client(service: Service) -> Client:
    return service.client(role="admin")


def decoded(payload: str) -> bytes | None:
    """None: it is no base64, or nothing."""
    try:
        return base64.b64decode("".join(payload.split()).encode(), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def kept(body: dict[str, Any]) -> tuple[int, bytes]:
    """What the contract says that becomes of a new secret: a status, and the bytes."""
    payload, type, encoding = (
        body.get(f"payload{each}") for each in ("", "_content_type", "_content_encoding")
    )
    raw = json.dumps(body).encode()
    if len(raw) > MAX_BODY or "\0" in (payload or "") or ("payload" in body and payload is None):
        return 400, b""
    if encoding not in ("base64", None) or ("payload_content_encoding" in body and encoding is None):
        return 400, b""
    if payload is None:
        return (201 if type is None else 400), b""
    if type is None or not payload.strip():
        return 400, b""
    if len(payload.encode()) > MAX_BYTES:
        return 413, b""
    if type.strip() in TEXTS:
        return (400 if encoding else 201), payload.encode()
    if type.strip() not in BINARY or not encoding:
        return 400, b""
    found = decoded(payload)
    return (400, b"") if found is None else (201, found)


members = st.fixed_dictionaries(
    {},
    optional={
        "payload": st.one_of(texts, st.none()),
        "payload_content_type": st.one_of(types, st.none()),
        "payload_content_encoding": encodings,
        "name": st.one_of(st.none(), st.sampled_from(["n", " "])),
    },
)


@given(body=members)
@EXAMPLES
def test_a_new_secret_is_kept_as_the_contract_says_or_refused(client: Client, body: dict[str, Any]) -> None:
    answer = client.call("POST", "/v1/secrets", body)
    status, expected = kept(body)
    assert answer.status_int == status, (body, answer.text)
    if status != 201:
        return
    path = f"/v1/secrets/{secret_id(answer.json)}"
    shown = client.get(path)
    assert ("content_types" in shown) == bool(expected)
    read = client.call("GET", f"{path}/payload", Accept="*/*")
    assert read.status_int == (200 if expected else 404)
    if expected:
        assert (read.body, read.content_type) == (expected, shown["content_types"]["default"])


def put(client: Client, path: str, body: bytes, type: str, encoding: str | None) -> webtest.TestResponse:
    headers = {"X-Auth-Token": client.token} | ({} if encoding is None else {"Content-Encoding": encoding})
    return client.app.put(path, body, headers=headers, content_type=type, expect_errors=True)


def is_utf8(body: bytes) -> bool:
    return body.decode("utf-8", "replace").encode() == body


def uploaded(body: bytes, type: str, encoding: str | None) -> tuple[int, bytes]:
    if not body:
        return 400, b""
    if type not in TEXTS and type not in (OCTETS, "Application/Octet-Stream"):
        return 415, b""
    if len(body) > MAX_BYTES:
        return 413, b""
    if type in TEXTS:
        return (204, body) if is_utf8(body) else (400, b"")
    if (encoding or "").lower() not in ("", "base64"):
        return 400, b""
    if not encoding:
        return 204, body
    found = decoded(body.decode("latin-1")) if body.isascii() else None
    return (400, b"") if found is None else (204, found)


@given(
    body=st.one_of(plain, texts.map(lambda each: each.encode("utf-8", "ignore"))),
    type=types,
    encoding=encodings,
)
@EXAMPLES
def test_a_payload_comes_later_as_the_contract_says_or_is_refused(
    client: Client, body: bytes, type: str, encoding: str | None
) -> None:
    path = keep(client)
    answer = put(client, path, body, type, encoding)
    status, expected = uploaded(body, type, encoding)
    assert answer.status_int == status, answer.text
    if status == 204:
        assert client.call("GET", f"{path}/payload", Accept="*/*").body == expected
        assert put(client, path, body, type, encoding).status_int == 409
    else:
        fault_of(answer)
        client.refused("GET", f"{path}/payload", 404)


accepts = st.one_of(
    st.none(),
    st.sampled_from(
        [*TEXTS, *BINARY, "*/*", "application/json", "text/plain, */*", "text/*", "x", "text/plain;q=1"]
    ),
)


@given(
    body=plain.filter(lambda each: 0 < len(each) <= MAX_BYTES),
    type=st.sampled_from([TEXT, OCTETS]),
    accept=accepts,
)
@EXAMPLES
def test_a_payload_is_given_out_in_a_type_that_fits_or_not_at_all(
    client: Client, body: bytes, type: str, accept: str | None
) -> None:
    if type == TEXT and not is_utf8(body):
        type = OCTETS
    path = keep(client)
    assert put(client, path, body, type, None).status_int == 204
    answer = client.call("GET", f"{path}/payload", **({} if accept is None else {"Accept": accept}))
    fits = accept in (None, "*/*", *BINARY) or (accept in TEXTS and is_utf8(body))
    assert answer.status_int == (200 if fits else 406)
    if fits:
        assert answer.body == body
        assert answer.headers["Content-Type"] == {None: OCTETS, "*/*": type}.get(accept, accept)


# --- anything at all ---

ROUTES = [route for route in routes(KEY_MANAGER) if route[0] != "GET"]

json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(
                ["read", "users", "metadata", "key", "value", "name", "URL", "type", "meta", "service"]
            )
            | st.text(max_size=4),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=12,
)
bodies = st.one_of(
    st.binary(max_size=64),
    json_values.map(lambda each: json.dumps(each).encode()),
    st.sampled_from(
        [b"{", b"[" * 2000, b'{"a":1,"a":2}', b"\xef\xbb\xbf{}", b"nul", b'"\\ud800"', b" " * 25_001 + b"{}"]
    ),
)
headers = st.fixed_dictionaries(
    {
        "Content-Type": st.sampled_from(
            ["application/json", "application/json; charset=utf-16", *TEXTS, *BINARY, "", "/"]
        )
    },
    optional={
        "Content-Encoding": st.sampled_from(["base64", "gzip", "identity", "x y"]),
        "Accept": st.sampled_from(["", "*/*", "text/html", "\xe9", "application/json;q=x"]),
        "OpenStack-API-Version": st.sampled_from(
            [
                "key-manager 1.2",
                "key-manager latest",
                "key-manager",
                "key-manager 1.",
                "key-manager 9.9",
                ",,",
            ]
        ),
        "Idempotency-Key": st.sampled_from(["", "a", "b", "\xe9", "x" * 256]),
    },
)


@pytest.fixture(scope="module")
def places(client: Client) -> dict[str, str]:
    secret = text(client)
    return {
        "secret_id": secret.rpartition("/")[2],
        "container_id": contain(client, refs=[ref(secret)]).rpartition("/")[2],
        "order_id": new_id(),
        "key": "a",
        "quota_project_id": new_id(),
        "secret_store_id": new_id(),
        "transport_key_id": new_id(),
    }


@pytest.mark.parametrize(("verb", "path"), ROUTES)
@given(body=bodies, told=headers)
@settings(EXAMPLES, max_examples=30)
def test_nothing_that_comes_makes_a_route_fail(
    client: Client, places: dict[str, str], verb: str, path: str, body: bytes, told: dict[str, str]
) -> None:
    if verb == "DELETE" and path.endswith(("{secret_id}", "{container_id}")):
        body, told = b"", told | {"OpenStack-API-Version": "key-manager 9.9"}
    url = path.format(**places)
    answer = client.app.request(
        url,
        method=verb,
        body=body,
        headers={"X-Auth-Token": client.token, **told},
        expect_errors=True,
    )
    assert answer.status_int < 500, answer.text
    if answer.status_int >= 400:
        fault_of(answer)


queries = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("limit", "offset", "name", "alg", "mode", "bits", "secret_type", "created", "updated"),
                *("expiration", "sort", "acl_only", "type", "meta", "force"),
            ]
        ),
        st.one_of(
            st.text(max_size=12),
            st.integers().map(str),
            st.sampled_from(
                [
                    *(
                        "gt:2030-01-01",
                        "lt:0001-01-01",
                        "gte:9999-12-31T23:59:59-12:00",
                        "2030-01-01,lt:2031-01-01",
                    ),
                    *(
                        "name:desc,created",
                        "status",
                        "name,name",
                        "%",
                        "_\\",
                        "true",
                        "nan",
                        "1e9",
                        "-0",
                        "\u0661",
                    ),
                ]
            ),
        ),
    ),
    max_size=4,
)


@pytest.mark.parametrize("path", ["/v1/secrets", "/v1/containers", "/v1/orders", "/v1/secrets/{}/consumers"])
@given(query=queries)
@settings(EXAMPLES, max_examples=60)
def test_nothing_that_is_asked_for_makes_a_list_fail(
    client: Client, places: dict[str, str], path: str, query: list[tuple[str, str]]
) -> None:
    answer = client.app.get(
        path.format(places["secret_id"]),
        dict(query),
        headers={"X-Auth-Token": client.token},
        expect_errors=True,
    )
    assert answer.status_int in (200, 400), answer.text
    if answer.status_int == 400:
        fault_of(answer)
