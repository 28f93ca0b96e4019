"""Bodies of /v1/containers. The contract ignores what it does not know."""

from __future__ import annotations

from protectd.api.schemas.common import Schema
from protectd.api.schemas.key_manager.secrets import LABEL, WORD
from protectd.domain.key_manager.containers import TYPES

MAYBE_LABEL: Schema = LABEL | {"type": ["string", "null"]}

REF: Schema = {
    "type": "object",
    "properties": {"secret_ref": {"type": "string", "minLength": 1, "maxLength": 2048}, "name": MAYBE_LABEL},
    "required": ["secret_ref"],
}

CREATE: Schema = {
    "type": "object",
    "properties": {
        "name": MAYBE_LABEL,
        "type": {"enum": list(TYPES)},
        "secret_refs": {"type": "array", "maxItems": 1000, "items": REF},
    },
    "required": ["type"],
}

CONSUMER: Schema = {"type": "object", "properties": {"name": WORD, "URL": WORD}, "required": ["name", "URL"]}
