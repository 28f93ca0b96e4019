"""The body of a request: read whole, of the right type, checked against the schema of the action."""

from __future__ import annotations

from typing import Any

from protectd.api import environ as env
from protectd.api.errors import MalformedBody
from protectd.api.parsing import parse_json
from protectd.common.errors import UnsupportedMediaType
from protectd.domain import validation

JSON = "application/json"


def checked(environ: env.Environ, schema: validation.Schema) -> dict[str, Any]:
    """
    :raises UnsupportedMediaType: there is a body of another type.
    :raises InvalidField: names the first field that does not fit.
    """
    raw = _read(environ)
    if _media_type(environ) != JSON:
        raise UnsupportedMediaType(expected=JSON)
    value = parse_json(raw)
    validation.check(value, schema)
    return dict(value)


def _read(environ: env.Environ) -> bytes:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    try:
        raw: bytes = environ["wsgi.input"].read(length) if length else b""
    except OSError:
        raw = b""
    if len(raw) < length or not raw:
        raise MalformedBody(field="body", reason="is missing or ends early")
    return raw


def _media_type(environ: env.Environ) -> str:
    return str(environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()
