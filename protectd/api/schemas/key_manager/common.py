"""Types that the key manager's bodies and answers share. Bodies are open: the contract ignores what it does
not know. Answers are closed: clients make objects of them.
"""

from __future__ import annotations

from protectd.api.schemas.common import (
    COUNT,
    FLAG,
    MAYBE_STRING,
    STRING,
    TEXT,
    Schema,
    array,
    closed,
    shape,
)
from protectd.api.schemas.narrowing import ANYTHING
from protectd.domain.validation import NO_NUL, TRIMMED

LABEL: Schema = {"type": "string", "maxLength": 255, "pattern": NO_NUL}
WORD: Schema = LABEL | {"minLength": 1}
MAYBE_LABEL: Schema = LABEL | {"type": ["string", "null"]}

ACL: Schema = closed(
    {
        "read": closed(
            {
                "users": {"type": "array", "maxItems": 1000, "items": WORD | {"pattern": TRIMMED}},
                "project-access": {"type": "boolean"},
            }
        )
    }
)

UUID4 = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
ID: Schema = {"type": "string", "pattern": f"^{UUID4}$"}
_YEAR = r"(2[1-9]|[3-9]\d)\d\d"
FUTURE: Schema = {
    "type": "string",
    "pattern": rf"^({_YEAR}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d)?$",
    "description": "ISO 8601, in the future; UTC where it has no zone, and never where it is empty",
}


def told(schema: Schema, properties: Schema | None = None) -> Schema:
    """A body as the document tells it: what is not known may be anything that JSON readers agree on.

    :param properties: narrower ones than those of the schema.
    """
    known = schema["properties"] | (properties or {})
    return schema | {"properties": known, "propertyNames": TEXT, "additionalProperties": ANYTHING}


# --- answers ---

URL: Schema = {"type": "string", "format": "uri"}
MOMENT: Schema = {
    "type": "string",
    "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{6})?$",
    "description": "UTC, as the contract writes it",
}
TIMES: Schema = {"created": MOMENT, "updated": MOMENT, "status": STRING}
NAMED: Schema = {"name": MAYBE_STRING, "creator_id": MAYBE_STRING}


def made(key: str) -> Schema:
    """What tells where a thing is."""
    return shape({key: URL})


def page_of(key: str, items: Schema) -> Schema:
    found = {key: array(items), "total": COUNT, "next": URL, "previous": URL}
    return shape(found, ["next", "previous"])


ACL_SHOWN = shape(
    {
        "read": shape(
            {"project-access": FLAG, "users": array(STRING), "created": MOMENT, "updated": MOMENT},
            ["users", "created", "updated"],
        )
    }
)
ACL_TOLD = made("acl_ref")
NOTHING: Schema = {"type": "null"}
