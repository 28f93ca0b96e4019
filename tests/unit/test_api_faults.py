"""The one fault body, as each family of clients reads it."""

from __future__ import annotations

import pytest

from protectd.api import faults
from protectd.common import errors


@pytest.mark.parametrize(
    ("error", "name", "status"),
    [
        (errors.BadRequest(reason="r"), "badRequest", 400),
        (errors.Unauthorized(), "unauthorized", 401),
        (errors.Forbidden(action="a"), "forbidden", 403),
        (errors.NotFound(kind="plan", id="x"), "itemNotFound", 404),
        (errors.MethodNotAllowed(allowed="GET"), "badMethod", 405),
        (errors.NotAcceptable(reason="r"), "computeFault", 406),
        (errors.Conflict(reason="r"), "conflictingRequest", 409),
        (errors.TooLarge(limit_bytes=1), "overLimit", 413),
        (errors.UnsupportedMediaType(expected="e"), "badMediaType", 415),
        (errors.TooManyRequests(limit="l", retry_after_s=3), "overLimit", 429),
        (errors.ProtectdError(), "computeFault", 500),
        (errors.Unavailable(what="w", reason="r"), "serviceUnavailable", 503),
    ],
)
def test_each_status_has_its_name_and_the_name_comes_first(
    error: errors.ProtectdError, name: str, status: int
) -> None:
    body = faults.body(error, "req-1")
    assert next(iter(body)) == name
    assert body[name]["code"] == body["code"] == status
    assert body[name]["message"] == body["description"] == str(error)
    assert body[name]["error"] == error.code
    assert body["title"]
    assert body["request_id"] == "req-1"


def test_a_field_is_named_beside_the_message() -> None:
    error = errors.InvalidField(field="plan.name", reason="is required")
    assert faults.body(error, "")["badRequest"]["field"] == "plan.name"


@pytest.mark.parametrize(
    ("error", "field"),
    [
        (errors.UnsupportedMediaType(expected="e"), "Content-Type"),
        (errors.TooLarge(limit_bytes=1), "body"),
        (errors.NotFound(kind="plan", id="x"), None),
    ],
)
def test_some_errors_are_about_one_part_of_a_request_whoever_raises_them(
    error: errors.ProtectdError, field: str | None
) -> None:
    fault = next(iter(faults.body(error, "").values()))
    assert fault.get("field") == field


def test_headers_that_a_status_owes() -> None:
    assert faults.headers(errors.MethodNotAllowed(allowed="GET, POST")) == {"Allow": "GET, POST"}
    assert faults.headers(errors.TooLarge(limit_bytes=1)) == {"Retry-After": "0"}
    assert faults.headers(errors.TooManyRequests(limit="l", retry_after_s=3)) == {"Retry-After": "3"}
    assert set(faults.headers(errors.Unauthorized())) == {"WWW-Authenticate"}
    assert faults.headers(errors.BadRequest(reason="r")) == {}
