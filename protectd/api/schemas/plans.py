"""Bodies of /plans."""

from __future__ import annotations

from protectd.api.schemas.common import DESCRIPTION, NAME, PARAMETERS, TYPE, UUID, Schema, closed, wrapped
from protectd.model.states import PlanStatus

KEY = "plan"

RESOURCE: Schema = closed(
    {"id": UUID, "type": TYPE, "name": NAME, "extra_info": {"type": ["object", "null"]}},
    ["type", "name"],
)

RESOURCES: Schema = {"type": "array", "minItems": 1, "maxItems": 1000, "items": RESOURCE}

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
    closed(
        {
            "name": NAME,
            "description": DESCRIPTION,
            "status": {"enum": [PlanStatus.SUSPENDED, PlanStatus.STARTED]},
            "resources": RESOURCES,
        }
    )
    | {"minProperties": 1},
)
