"""Types that bodies and answers share. Both are closed: a field that is not named is refused, or not told."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from protectd.api.parsing import MAX_INTEGER
from protectd.domain.validation import NO_NUL, NOT_BLANK, PRINTABLE

Schema = dict[str, Any]

UUID: Schema = {"type": "string", "format": "uuid"}
"""Dashes may be left out, and letters be capitals, as the contract wants."""

NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": NOT_BLANK}
DESCRIPTION: Schema = {"type": ["string", "null"], "maxLength": 255, "pattern": PRINTABLE}
TYPE: Schema = {"type": "string", "minLength": 1, "maxLength": 64}
TEXT: Schema = {"type": "string", "pattern": NO_NUL}

METADATA: Schema = {
    "type": ["object", "null"],
    "maxProperties": 256,
    "patternProperties": {
        "^[a-zA-Z0-9-_:.# ]{1,255}$": {
            "type": ["boolean", "string", "integer", "null"],
            "maxLength": 4096,
            "pattern": NO_NUL,
            "minimum": -MAX_INTEGER,
            "maximum": MAX_INTEGER,
        }
    },
    "additionalProperties": False,
}
"""Null values are let through: the contract's client makes them of a key without a value."""

PARAMETERS: Schema = {
    "type": "object",
    "maxProperties": 1024,
    "additionalProperties": {"type": "object"},
}
"""Keyed by resource type or `type#id`. What stands inside is checked against the provider's schemas."""


def closed(properties: Schema, required: Sequence[str] = ()) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def wrapped(key: str, schema: Schema) -> Schema:
    """The body of an action: one object under its name."""
    return closed({key: schema}, [key])


# --- answers ---

STRING: Schema = {"type": "string"}
MAYBE_STRING: Schema = {"type": ["string", "null"]}
MAYBE_ID: Schema = {"type": ["string", "null"], "format": "uuid"}
COUNT: Schema = {"type": "integer", "minimum": 0}
MAYBE_COUNT: Schema = {"type": ["integer", "null"], "minimum": 0}
FLAG: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
MAYBE_OBJECT: Schema = {"type": ["object", "null"]}
MAYBE_SECONDS: Schema = {"type": ["number", "null"], "minimum": 0}

MOMENT: Schema = {
    "type": "string",
    "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}$",
    "description": "UTC, as the contract writes it",
}
MAYBE_MOMENT: Schema = MOMENT | {"type": ["string", "null"]}


def shape(properties: Schema, optional: Collection[str] = ()) -> Schema:
    """An object that has just these, all of them but for some."""
    return closed(properties, [name for name in properties if name not in optional])


def either(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def words_to(values: Schema) -> Schema:
    """An object whose names are data."""
    return {"type": "object", "additionalProperties": values}


LINKS: Schema = array(shape({"rel": STRING, "href": {"type": "string", "format": "uri"}}))


def page_of(key: str, items: Schema) -> Schema:
    """A page of a list, with the way to the next one where there is more."""
    return shape({key: array(items), f"{key}_links": LINKS}, [f"{key}_links"])


ERROR: Schema = either({"type": "null"}, shape({"code": MAYBE_STRING, "message": MAYBE_STRING}))
"""Why it failed."""

PROGRESS: Schema = {
    "type": ["object", "null"],
    "properties": {
        "phase": STRING,
        "done_bytes": COUNT,
        "total_bytes": MAYBE_COUNT,
        "done_files": COUNT,
        "total_files": MAYBE_COUNT,
        "operation": STRING,
        "attempts": COUNT,
        "updated_at": MOMENT,
    },
    "required": ["phase", "operation", "attempts", "updated_at"],
}
"""Where the newest operation of a thing is."""

SIMULATED: Schema = {"const": True, "description": "it was a drill that touched nothing"}
"""Told only where it is so."""

ISSUES: Schema = array(shape({"path": STRING, "kind": STRING, "reason": STRING}))

FAULT: Schema = {
    "type": "object",
    "title": "Why a request was refused",
    "properties": {
        "code": {"type": "integer"},
        "title": STRING,
        "description": STRING,
        "request_id": STRING,
    },
    "required": ["code", "title", "description", "request_id"],
    "minProperties": 5,
    "maxProperties": 5,
    "additionalProperties": shape(
        {
            "code": {"type": "integer"},
            "message": STRING,
            "error": STRING | {"description": "a code to rely on"},
            "field": STRING | {"description": "what was at fault"},
            "retryAfter": COUNT,
        },
        ["field", "retryAfter"],
    ),
}
"""The first member is named after the status, such as `badRequest`."""
