"""Bodies of /v1/orders."""

from __future__ import annotations

from protectd.api.schemas.common import Schema
from protectd.api.schemas.key_manager.secrets import LABEL, WORD
from protectd.domain.key_manager.generation import TYPES

MAYBE_LABEL: Schema = LABEL | {"type": ["string", "null"]}

META: Schema = {
    "type": "object",
    "maxProperties": 64,
    "properties": {
        "name": MAYBE_LABEL,
        "algorithm": WORD,
        "bit_length": {"type": "integer", "minimum": 1, "maximum": 32767},
        "mode": MAYBE_LABEL,
        "expiration": MAYBE_LABEL,
        "payload_content_type": MAYBE_LABEL,
        "passphrase": {"type": ["string", "null"], "maxLength": 1023},
        "pass_phrase": {"type": ["string", "null"], "maxLength": 1023},
        "payload": {"not": {}},
    },
    "required": ["algorithm", "bit_length"],
}

CREATE: Schema = {
    "type": "object",
    "properties": {"type": {"enum": list(TYPES)}, "meta": META},
    "required": ["type", "meta"],
}
