"""Types that bodies share. Bodies are closed: a field that is not named is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Schema = dict[str, Any]

UUID: Schema = {"type": "string", "format": "uuid-like"}
NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 255, "format": "not-blank"}
DESCRIPTION: Schema = {"type": ["string", "null"], "maxLength": 255, "format": "printable"}
TYPE: Schema = {"type": "string", "minLength": 1, "maxLength": 64}

METADATA: Schema = {
    "type": ["object", "null"],
    "maxProperties": 256,
    "patternProperties": {
        "^[a-zA-Z0-9-_:.# ]{1,255}$": {"type": ["boolean", "string", "integer", "null"], "maxLength": 4096}
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
