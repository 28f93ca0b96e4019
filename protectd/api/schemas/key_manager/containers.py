"""Bodies and answers of /v1/containers. The contract ignores what it does not know."""

from __future__ import annotations

from protectd.api.schemas.common import STRING, Schema, array, shape
from protectd.api.schemas.key_manager.common import (
    MAYBE_LABEL,
    NAMED,
    TIMES,
    URL,
    UUID4,
    WORD,
    made,
    page_of,
    told,
)
from protectd.domain.key_manager.containers import GENERIC, NEEDED, TYPES

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

_SECRET: Schema = {
    "secret_ref": {"type": "string", "pattern": f"^https?://[a-z0-9.]{{1,63}}/v1/secrets/{UUID4}$"}
}


def ref_of(*_: object) -> Schema:
    """REF as it names a secret."""
    return told(REF, _SECRET)


def create_of(*_: object) -> Schema:
    """CREATE with such sets of secrets as fit the type. No name and no secret stands in one twice: a list of
    several without names, and one with a name, is what can be told of that."""
    single = {"type": "array", "maxItems": 1, "items": ref_of()}
    several = {"type": "array", "uniqueItems": True, "maxItems": 1000, "items": _named(None)}
    forms = [_form(GENERIC, {"anyOf": [single, several]})]
    for type, names in NEEDED.items():
        refs = [_named(name) for name in sorted(names)]
        filled = {"prefixItems": refs, "minItems": len(refs), "maxItems": len(refs)}
        forms.append(_form(type, {"anyOf": [{"maxItems": 0}, filled]}))
    return {"anyOf": forms}


def _form(type: str, refs: Schema) -> Schema:
    return told(CREATE, {"type": {"const": type}, "secret_refs": {"type": "array", **refs}})


def _named(name: str | None) -> Schema:
    return told(REF, {**_SECRET, "name": {"const": name}}) | {"required": ["secret_ref", "name"]}


def consumer_of(*_: object) -> Schema:
    return told(CONSUMER)


# --- answers ---

_CONSUMER: Schema = {"name": STRING, "URL": STRING}

ONE = shape(
    {
        **TIMES,
        **NAMED,
        "type": STRING,
        "secret_refs": array(shape({"name": {"type": ["string", "null"]}, "secret_ref": URL})),
        "consumers": array(shape(_CONSUMER)),
        "container_ref": URL,
    }
)
PAGE = page_of("containers", ONE)
MADE = made("container_ref")
CONSUMERS = page_of("consumers", shape({**TIMES, **_CONSUMER}))
