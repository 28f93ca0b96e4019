"""The one fault body. Two families of clients read it: one the first value, the other the top level."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from webob import Response

from protectd.common.errors import ProtectdError

NOTHING: Mapping[str, str] = {}
NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}


def body(error: ProtectdError, request_id: str) -> dict[str, Any]:
    """The fault name comes first: a client takes the first value whatever its key."""
    message = str(error)
    fault = {"code": error.status, "message": message, "error": error.code}
    if error.field is not None:
        fault["field"] = error.field
    if error.status in (413, 429):
        fault["retryAfter"] = error.facts.get("retry_after_s", 0)
    return {
        NAMES.get(error.status, "computeFault"): fault,
        "code": error.status,
        "title": HTTPStatus(error.status).phrase,
        "description": message,
        "request_id": request_id,
    }


def headers(error: ProtectdError) -> dict[str, str]:
    """Headers that a status owes its reader."""
    if error.status == 405:
        return {"Allow": str(error.facts["allowed"])}
    if error.status == 401:
        return {"WWW-Authenticate": str(error.facts.get("challenge", "Bearer"))}
    if error.status in (413, 429):
        return {"Retry-After": str(error.facts.get("retry_after_s", 0))}
    return {}


def render(error: ProtectdError, request_id: str, told: Mapping[str, str] = NOTHING) -> Response:
    """:param told: headers beside those that the status owes."""
    response = Response(
        body=orjson.dumps(body(error, request_id)),
        status=error.status,
        content_type="application/json",
        charset=None,
    )
    response.headers.update({**told, **headers(error)})
    return response
