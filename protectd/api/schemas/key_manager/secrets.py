"""Bodies of /v1/secrets. The contract ignores what it does not know."""

from __future__ import annotations

from protectd.api.schemas.common import STRING, Schema, array, closed, shape, words_to
from protectd.api.schemas.key_manager.common import (
    FUTURE,
    LABEL,
    MOMENT,
    NAMED,
    TIMES,
    URL,
    WORD,
    made,
    page_of,
    told,
)
from protectd.domain.key_manager.payloads import BASE64, BINARY, BYTES, MAX_BYTES, TEXT
from protectd.domain.key_manager.secrets import TYPES
from protectd.domain.validation import NOT_BLANK
from protectd.plugin.base import MUST

CREATE: Schema = {
    "type": "object",
    "properties": {
        "name": LABEL | {"type": ["string", "null"]},
        "algorithm": LABEL,
        "mode": LABEL,
        "bit_length": {"type": "integer", "minimum": 1, "maximum": 32767},
        "expiration": LABEL,
        "secret_type": {"enum": list(TYPES)},
        "payload": {"type": "string"},
        "payload_content_type": LABEL | {"type": ["string", "null"]},
        "payload_content_encoding": {"enum": ["base64"]},
        "transport_key_needed": {"enum": ["true", "false"]},
        "transport_key_id": {"type": "string"},
    },
}

CONSUMER: Schema = {
    "type": "object",
    "properties": {"service": WORD, "resource_type": WORD, "resource_id": WORD},
    "required": ["service", "resource_type", "resource_id"],
}

_CONTROLS = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
_SEGMENT = rf"(\.{{0,2}}[^./{_CONTROLS}][^/{_CONTROLS}]*|\.{{3}}[^/{_CONTROLS}]*)"

NOTE_SEGMENT: Schema = WORD | {"pattern": f"^{_SEGMENT}$"}
NOTE_KEY: Schema = WORD | {
    "pattern": rf"^{_SEGMENT}(/{_SEGMENT})*$",
    MUST: "must be printable, and neither begin nor end with a slash nor have //, /./ or /../ in it",
}
"""What can stand in a path. Clients and proxies take dots and double slashes out of it: to remove the note
`..` would be to delete the secret."""

NOTE: Schema = closed({"key": NOTE_KEY, "value": LABEL}, ["key", "value"])

NOTES: Schema = {
    "type": "object",
    "properties": {
        "metadata": {
            "type": "object",
            "maxProperties": 256,
            "patternProperties": {"^[A-Za-z0-9_-]{1,255}$": LABEL},
            "additionalProperties": False,
        }
    },
    "required": ["metadata"],
}


def create_of(*_: object) -> Schema:
    """CREATE as its parts go together: nothing yet, a text, or bytes in base64. Transport keys are left out:
    no store has any."""
    known = {name: each for name, each in CREATE["properties"].items() if name != "transport_key_id"}
    open = CREATE | {"properties": known}
    return {"anyOf": [told(open, _COMMON | form) | {"required": list(need)} for form, need in _FORMS]}


_ABSENT: Schema = {"not": {}}
_COMMON: Schema = {
    "expiration": FUTURE,
    "transport_key_needed": {"const": "false"},
}


_BYTES_TYPED: Schema = {
    "payload": {"type": "string", "minLength": 4, "maxLength": MAX_BYTES, "pattern": "^([A-Za-z0-9+/]{4})+$"},
    "payload_content_type": {"enum": list(BINARY)},
    "payload_content_encoding": {"const": BASE64},
}
_TEXT_TYPED: Schema = {
    "payload": {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_BYTES,
        "pattern": NOT_BLANK,
    },
    "payload_content_type": {"enum": [TEXT, f"{TEXT};charset=utf-8", f"{TEXT}; charset=utf-8"]},
    "payload_content_encoding": _ABSENT,
}
_LATER: Schema = {"payload": _ABSENT, "payload_content_type": {"type": "null"}}
_TYPED = ("payload", "payload_content_type")
_FORMS: tuple[tuple[Schema, tuple[str, ...]], ...] = (
    (_LATER, ()),
    (_TEXT_TYPED, _TYPED),
    (_BYTES_TYPED, (*_TYPED, "payload_content_encoding")),
)


def consumer_of(*_: object) -> Schema:
    return told(CONSUMER)


def note_of(*_: object) -> Schema:
    """NOTE with a key that is one segment of a path, as far as a document knows paths."""
    return NOTE | {"properties": NOTE["properties"] | {"key": NOTE_SEGMENT}}


def notes_of(*_: object) -> Schema:
    return told(NOTES)


UPLOADS: Schema = {
    TEXT: {"type": "string", "minLength": 1, "maxLength": MAX_BYTES},
    BYTES: {"type": "string", "minLength": 1, "maxLength": MAX_BYTES, "contentMediaType": BYTES},
}
"""Payloads as they come, by type."""

# --- answers ---

_CONSUMER: Schema = {"service": STRING, "resource_type": STRING, "resource_id": STRING}

ONE = shape(
    {
        **TIMES,
        **NAMED,
        "secret_type": STRING,
        "expiration": MOMENT | {"type": ["string", "null"]},
        "algorithm": {"type": ["string", "null"]},
        "bit_length": {"type": ["integer", "null"]},
        "mode": {"type": ["string", "null"]},
        "secret_ref": URL,
        "content_types": shape({"default": STRING}),
        "consumers": array(shape(_CONSUMER)),
    },
    ["content_types", "consumers"],
)
PAGE = page_of("secrets", ONE)
MADE = made("secret_ref")
CONSUMERS = page_of("consumers", shape({**TIMES, **_CONSUMER}))
NOTES_SHOWN = shape({"metadata": words_to(STRING)})
NOTES_MADE = made("metadata_ref")
NOTE_SHOWN = shape({"key": STRING, "value": STRING})
