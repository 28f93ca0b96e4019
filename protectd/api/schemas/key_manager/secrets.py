"""Bodies of /v1/secrets. The contract ignores what it does not know."""

from __future__ import annotations

from protectd.api.schemas.common import Schema, closed
from protectd.domain.key_manager.secrets import TYPES
from protectd.domain.validation import NO_NUL, TRIMMED
from protectd.plugin.base import MUST

LABEL: Schema = {"type": "string", "maxLength": 255, "pattern": NO_NUL}
WORD: Schema = LABEL | {"minLength": 1}

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
