"""Bodies and answers of /v1/orders."""

from __future__ import annotations

from collections.abc import Iterable

from protectd.api.schemas.common import OBJECT, STRING, Schema, shape
from protectd.api.schemas.key_manager.common import (
    FUTURE,
    MAYBE_LABEL,
    TIMES,
    URL,
    WORD,
    made,
    page_of,
    told,
)
from protectd.domain.key_manager.generation import (
    ASYMMETRIC,
    CURVES,
    HMAC,
    KEY,
    MAX_HMAC_BITS,
    RSA_BITS,
    SYMMETRIC_BITS,
    TYPES,
)
from protectd.domain.key_manager.payloads import BYTES
from protectd.domain.validation import NO_NUL

PASSPHRASE: Schema = {"type": ["string", "null"], "minLength": 1, "maxLength": 1023, "pattern": NO_NUL}

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
        "passphrase": PASSPHRASE,
        "pass_phrase": PASSPHRASE,
        "payload": {"not": {}},
    },
    "required": ["algorithm", "bit_length"],
}

CREATE: Schema = {
    "type": "object",
    "properties": {"type": {"enum": list(TYPES)}, "meta": META},
    "required": ["type", "meta"],
}


def create_of(*_: object) -> Schema:
    """CREATE with what can be made."""
    keys = [_form(KEY, _bits(name, bits)) for name, bits in SYMMETRIC_BITS.items()]
    keys.append(_form(KEY, _HMAC))
    pairs = [_bits("rsa", RSA_BITS), _bits("ec", CURVES)]
    return {"anyOf": [*keys, *(_form(ASYMMETRIC, each) for each in pairs)]}


def _form(type: str, wish: Schema) -> Schema:
    passphrase = {"type": "null"} if type == KEY else PASSPHRASE
    expiration = FUTURE | {"type": ["string", "null"]}
    known = {"expiration": expiration, "payload_content_type": {"enum": [BYTES, "", None]}}
    meta = told(META, {**known, "passphrase": passphrase, "pass_phrase": passphrase, **wish})
    return told(CREATE, {"type": {"const": type}, "meta": meta})


def _bits(algorithm: str, bits: Iterable[int]) -> Schema:
    return {"algorithm": {"const": algorithm}, "bit_length": {"enum": list(bits)}}


_HMAC: Schema = {
    "algorithm": {"type": "string", "pattern": f"^{HMAC}[a-z0-9]{{0,16}}$"},
    "bit_length": {"type": "integer", "minimum": 64, "maximum": MAX_HMAC_BITS, "multipleOf": 8},
}

# --- answers ---

ONE = shape(
    {
        **TIMES,
        "type": STRING,
        "meta": OBJECT,
        "order_ref": URL,
        "secret_ref": URL,
        "container_ref": URL,
        "error_status_code": STRING,
        "error_reason": STRING,
        "creator_id": STRING,
    },
    ["secret_ref", "container_ref", "error_status_code", "error_reason", "creator_id"],
)
PAGE = page_of("orders", ONE)
MADE = made("order_ref")
