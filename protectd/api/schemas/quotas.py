"""Bodies of /quotas and /quota_classes. Resources that are not known are passed over, as in the contract."""

from __future__ import annotations

from protectd.api.parsing import MAX_INTEGER
from protectd.api.schemas.common import COUNT, STRING, TEXT, Schema, shape, wrapped
from protectd.api.schemas.narrowing import ANYTHING
from protectd.domain.providers import Protectables, Providers
from protectd.domain.quota import UNLIMITED
from protectd.domain.validation import PRINTABLE
from protectd.model.repositories.quotas import PROTECTION

KEY = "quota"
CLASS_KEY = "quota_class"

LIMIT: Schema = {
    "type": ["integer", "string"],
    "minimum": UNLIMITED,
    "maximum": MAX_INTEGER,
    "pattern": "^ *(-1|[0-9]{1,18}) *$",
}
"""A number, also as text; -1: no limit."""

LIMITS: Schema = {
    "type": "object",
    "properties": dict.fromkeys(PROTECTION, LIMIT),
    "maxProperties": 1024,
    "additionalProperties": True,
}

UPDATE = wrapped(KEY, LIMITS)
UPDATE_CLASS = wrapped(CLASS_KEY, LIMITS)

CLASS_NAME: Schema = {"type": "string", "maxLength": 255, "pattern": PRINTABLE}


def update_of(providers: Providers, protectables: Protectables) -> Schema:
    return wrapped(KEY, LIMITS | {"additionalProperties": ANYTHING, "propertyNames": TEXT})


def update_class_of(providers: Providers, protectables: Protectables) -> Schema:
    return wrapped(CLASS_KEY, LIMITS | {"additionalProperties": ANYTHING, "propertyNames": TEXT})


SHOWN_LIMIT: Schema = {"type": "integer", "minimum": UNLIMITED}
SHOWN: dict[str, Schema] = dict.fromkeys(PROTECTION, SHOWN_LIMIT)
USAGE = shape({"limit": SHOWN_LIMIT, "in_use": COUNT, "reserved": COUNT})

ONE = wrapped(KEY, shape(SHOWN | {"id": STRING}))
DETAIL = wrapped(KEY, shape(dict.fromkeys(PROTECTION, USAGE) | {"id": STRING}))
UPDATED = wrapped(KEY, shape(SHOWN))
ONE_CLASS = wrapped(CLASS_KEY, shape(SHOWN | {"id": STRING}))
UPDATED_CLASS = wrapped(CLASS_KEY, shape(SHOWN))
"""The contract has no id in the answer to a change."""
