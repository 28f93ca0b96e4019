"""The body of a request: read whole, of the right type, checked against the schema of the action."""

from __future__ import annotations

from email.message import Message
from functools import lru_cache
from typing import Any

from protectd.api import environ as env
from protectd.api.errors import MalformedBody
from protectd.api.parsing import parse_json
from protectd.common.errors import UnsupportedMediaType
from protectd.domain import validation

JSON = "application/json"
CHARSETS = frozenset({"utf-8", "utf8", "us-ascii"})


def checked(raw: bytes, environ: env.Environ, schema: validation.Schema) -> dict[str, Any]:
    """
    :raises UnsupportedMediaType: there is a body of another type, or packed or coded in another way.
    :raises InvalidField: names the first field that does not fit.
    """
    _check_type(environ)
    value = parse_json(raw)
    validation.check(value, schema)
    return dict(value)


def read(environ: env.Environ) -> bytes:
    """:raises MalformedBody: it is not there, or not all of it."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    try:
        raw: bytes = environ["wsgi.input"].read(length) if length else b""
    except OSError:
        raw = b""
    if len(raw) < length or not raw:
        raise MalformedBody(field="body", reason="is missing or ends early")
    return raw


def _check_type(environ: env.Environ) -> None:
    """A body that is said to be in another coding would be read as something that was not meant."""
    if not _is_json(str(environ.get("CONTENT_TYPE", ""))):
        raise UnsupportedMediaType(expected=f"{JSON} in UTF-8")
    if str(environ.get("HTTP_CONTENT_ENCODING", "")).strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType(expected="it is, without Content-Encoding").at("Content-Encoding")


@lru_cache(maxsize=64)
def _is_json(content_type: str) -> bool:
    told = Message()
    told["Content-Type"] = content_type
    return told.get_content_type() == JSON and told.get_content_charset("utf-8") in CHARSETS
