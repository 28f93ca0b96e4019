"""What providers and plug-ins leave of a body: their schemas, where a request is held to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from protectd.api.parsing import MAX_INTEGER
from protectd.api.schemas.common import NAME, TEXT, UUID, Schema, closed
from protectd.domain.providers import Protectables, Provider

UUID_PATTERN = "[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}"

ANYTHING: Schema = {"$ref": "#/components/schemas/Anything"}

COMPONENTS = {
    "Anything": {
        "description": "kept as it is said",
        "anyOf": [
            {"type": ["null", "boolean"]},
            {"type": "number", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER},
            TEXT,
            {"type": "array", "items": ANYTHING},
            {"type": "object", "propertyNames": TEXT, "additionalProperties": ANYTHING},
        ],
    }
}
"""What these schemas refer to by name."""


def parameters_of(schemas: Mapping[str, Schema]) -> Schema:
    """Parameters by type, and by `type#id`."""
    return {
        "type": "object",
        "properties": dict(schemas),
        "patternProperties": {f"^{type_}#{UUID_PATTERN}$": schema for type_, schema in schemas.items()},
        "additionalProperties": False,
        "maxProperties": 1024,
    }


def resources_of(providers: Iterable[Provider], protectables: Protectables) -> Schema:
    """A resource of a plan: it says where it is, or which registered instance it is."""
    types = {type_ for provider in providers for type_ in provider.protections if type_ in protectables}
    return {"anyOf": [form for type_ in sorted(types) for form in _forms(type_, protectables)]}


def _forms(type_: str, protectables: Protectables) -> list[Schema]:
    properties: dict[str, Any] = dict(protectables.get(type_).properties_schema())
    placed = {"type": {"const": type_}, "name": NAME, "id": UUID}
    said = {**properties, "additionalProperties": ANYTHING, "propertyNames": TEXT}
    known = {**placed, "id": UUID | {"description": "of a registered instance"}}
    return [
        closed({**placed, "extra_info": said}, ["type", "name", "extra_info"]),
        closed(known, ["type", "name", "id"]),
    ]
