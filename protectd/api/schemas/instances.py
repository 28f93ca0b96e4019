"""Bodies and answers of /protectables. What stands in `properties` is the plug-in's to check."""

from __future__ import annotations

from protectd.api.schemas.common import (
    MOMENT,
    NAME,
    OBJECT,
    STRING,
    Schema,
    array,
    closed,
    page_of,
    shape,
    wrapped,
)
from protectd.domain.providers import Protectables, Providers

KEY = "instance"
TYPE_KEY = "protectable_type"

CREATE = wrapped(KEY, closed({"name": NAME, "properties": {"type": "object"}}, ["name", "properties"]))


def create_of(providers: Providers, protectables: Protectables) -> Schema:
    """CREATE with the properties of the types that there are."""
    properties = [protectables.get(type_).properties_schema() for type_ in protectables.types()]
    return wrapped(KEY, closed({"name": NAME, "properties": {"anyOf": properties}}, ["name", "properties"]))


RESOURCE: Schema = {
    "id": STRING,
    "type": STRING,
    "name": STRING,
    "extra_info": {"type": ["object", "null"]},
}

INSTANCE = shape(
    RESOURCE
    | {
        "dependent_resources": array(shape(RESOURCE)),
        "properties": OBJECT,
        "host": STRING,
        "project_id": STRING,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "unavailable_types": array(STRING)
        | {"description": "their plug-ins could not be asked for children"},
    },
    ["unavailable_types", "properties", "host", "project_id", "created_at", "updated_at"],
)
"""One that was found and not registered has none of the service's own fields."""

ONE = wrapped(KEY, INSTANCE)
PAGE = page_of("instances", INSTANCE)

TYPES = wrapped(TYPE_KEY, array(STRING))
TYPE = wrapped(
    TYPE_KEY, shape({"name": STRING, "dependent_types": array(STRING), "properties_schema": OBJECT})
)
