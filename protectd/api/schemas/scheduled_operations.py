"""Bodies and answers of /scheduled_operations. What a definition needs depends on the operation."""

from __future__ import annotations

from protectd.api.schemas.common import (
    DESCRIPTION,
    FLAG,
    MAYBE_ID,
    MAYBE_MOMENT,
    MAYBE_STRING,
    MOMENT,
    NAME,
    OBJECT,
    STRING,
    TYPE,
    UUID,
    Schema,
    closed,
    either,
    page_of,
    shape,
    wrapped,
)
from protectd.domain.occurrences import OUTCOMES
from protectd.domain.providers import Protectables, Providers
from protectd.domain.scheduled_operations import TYPES

KEY = "scheduled_operation"

DEFINITION: Schema = {"type": ["object", "string"], "maxProperties": 1024, "maxLength": 65536}
"""A command line sends it as the text `plan_id=...,provider_id=...`."""

CREATE = wrapped(
    KEY,
    closed(
        {
            "name": NAME,
            "description": DESCRIPTION,
            "operation_type": TYPE,
            "trigger_id": UUID,
            "operation_definition": DEFINITION,
            "enabled": FLAG,
        },
        ["name", "operation_type", "trigger_id", "operation_definition"],
    ),
)

_CHANGES: Schema = {"name": NAME, "description": DESCRIPTION, "trigger_id": UUID, "enabled": FLAG}

UPDATE = wrapped(KEY, closed(_CHANGES | {"operation_definition": DEFINITION}) | {"minProperties": 1})


def _definition(providers: Providers) -> Schema:
    named = {"provider_id": {"enum": [provider.id for provider in providers]}, "plan_id": UUID}
    return closed(named, ["provider_id", "plan_id"])


def create_of(providers: Providers, protectables: Protectables) -> Schema:
    """CREATE with the providers and types that there are."""
    body: Schema = _CHANGES | {
        "operation_type": {"enum": list(TYPES)},
        "operation_definition": _definition(providers),
    }
    return wrapped(KEY, closed(body, ["name", "operation_type", "trigger_id", "operation_definition"]))


def update_of(providers: Providers, protectables: Protectables) -> Schema:
    body = _CHANGES | {"operation_definition": _definition(providers)}
    return wrapped(KEY, closed(body) | {"minProperties": 1})


OCCURRENCE = shape(
    {
        "id": UUID,
        "scheduled_operation_id": UUID,
        "trigger_id": UUID,
        "expected_at": MOMENT,
        "decided_at": MOMENT,
        "outcome": {"enum": list(OUTCOMES)},
        "reason": MAYBE_STRING,
        "entity_type": MAYBE_STRING,
        "entity_id": MAYBE_ID,
    }
)

_OPERATION: Schema = {
    "id": UUID,
    "name": STRING,
    "description": MAYBE_STRING,
    "operation_type": {"enum": list(TYPES)},
    "trigger_id": UUID,
    "operation_definition": OBJECT,
    "enabled": FLAG,
    "project_id": STRING,
    "created_at": MOMENT,
    "updated_at": MOMENT,
}
_RUNS: Schema = {
    "last_occurrence": either({"type": "null"}, OCCURRENCE),
    "next_fire_time": MAYBE_MOMENT,
}

ONE = wrapped(KEY, shape(_OPERATION | _RUNS, list(_RUNS)))
PAGE = page_of("operations", shape(_OPERATION))
OCCURRENCES = page_of("occurrences", OCCURRENCE)
