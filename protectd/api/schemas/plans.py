"""Bodies and answers of /plans."""

from __future__ import annotations

from protectd.api.schemas.common import (
    DESCRIPTION,
    MAYBE_STRING,
    MOMENT,
    NAME,
    PARAMETERS,
    STRING,
    TYPE,
    UUID,
    Schema,
    array,
    closed,
    page_of,
    shape,
    wrapped,
)
from protectd.api.schemas.narrowing import parameters_of, resources_of
from protectd.domain.providers import Protectables, Provider, Providers
from protectd.model.states import PlanStatus

KEY = "plan"

RESOURCE: Schema = closed(
    {"id": UUID, "type": TYPE, "name": NAME, "extra_info": {"type": ["object", "null"]}},
    ["type", "name"],
)

RESOURCES: Schema = {"type": "array", "minItems": 1, "maxItems": 1000, "items": RESOURCE}

STATUS: Schema = {"enum": [PlanStatus.SUSPENDED, PlanStatus.STARTED]}

CREATE = wrapped(
    KEY,
    closed(
        {
            "name": NAME,
            "description": DESCRIPTION,
            "provider_id": UUID,
            "parameters": PARAMETERS,
            "resources": RESOURCES,
        },
        ["name", "provider_id", "parameters", "resources"],
    ),
)

UPDATE = wrapped(
    KEY,
    closed({"name": NAME, "description": DESCRIPTION, "status": STATUS, "resources": RESOURCES})
    | {"minProperties": 1},
)


def create_of(providers: Providers, protectables: Protectables) -> Schema:
    """CREATE, one form for each provider: its id, its types, their parameters."""
    return wrapped(KEY, {"anyOf": [_create(provider, protectables) for provider in providers]})


def _create(provider: Provider, protectables: Protectables) -> Schema:
    return closed(
        {
            "name": NAME,
            "description": DESCRIPTION,
            "provider_id": {"const": provider.id},
            "parameters": parameters_of(provider.options_schemas),
            "resources": RESOURCES | {"items": resources_of([provider], protectables)},
        },
        ["name", "provider_id", "parameters", "resources"],
    )


def update_of(providers: Providers, protectables: Protectables) -> Schema:
    resources = RESOURCES | {"items": resources_of(providers, protectables)}
    changes = {"name": NAME, "description": DESCRIPTION, "status": STATUS, "resources": resources}
    return wrapped(KEY, closed(changes) | {"minProperties": 1})


PLAN = shape(
    {
        "id": UUID,
        "name": STRING,
        "description": MAYBE_STRING,
        "resources": array(
            shape(
                {"id": UUID, "type": STRING, "name": STRING, "extra_info": {"type": "object"}}, ["extra_info"]
            )
        ),
        "provider_id": UUID,
        "status": STATUS,
        "parameters": {"type": "object"},
        "project_id": STRING,
        "created_at": MOMENT,
        "updated_at": MOMENT,
    }
)

ONE = wrapped(KEY, PLAN)
PAGE = page_of("plans", PLAN)
