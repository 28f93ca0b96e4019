"""Bodies and answers of /verifications."""

from __future__ import annotations

from protectd.api.schemas.common import (
    COUNT,
    ISSUES,
    MAYBE_OBJECT,
    MAYBE_SECONDS,
    PARAMETERS,
    PROGRESS,
    SIMULATED,
    STRING,
    UUID,
    Schema,
    array,
    closed,
    page_of,
    shape,
    wrapped,
)
from protectd.api.schemas.narrowing import parameters_of
from protectd.api.schemas.runs import RUN
from protectd.domain.providers import Protectables, Providers
from protectd.model.models.verifications import DEPTHS

KEY = "verification"

CREATE = wrapped(
    KEY,
    closed(
        {
            "provider_id": UUID,
            "checkpoint_id": UUID,
            "parameters": PARAMETERS | {"type": ["object", "null"]},
            "depth": {"enum": list(DEPTHS)},
        },
        ["provider_id", "checkpoint_id"],
    ),
)


def create_of(providers: Providers, protectables: Protectables) -> Schema:
    """CREATE, one form for each provider."""
    forms = [
        closed(
            {
                "provider_id": {"const": provider.id},
                "checkpoint_id": UUID,
                "parameters": parameters_of(provider.verify_schemas) | {"type": ["object", "null"]},
                "depth": {"enum": list(DEPTHS)},
            },
            ["provider_id", "checkpoint_id"],
        )
        for provider in providers
    ]
    return wrapped(KEY, {"anyOf": forms})


_BRIEF: Schema = RUN | {"depth": {"enum": list(DEPTHS)}, "read_bytes": COUNT, "recovery_s": MAYBE_SECONDS}

ONE = wrapped(
    KEY,
    shape(
        _BRIEF
        | {
            "progress": PROGRESS,
            "errors": array(STRING),
            "report": MAYBE_OBJECT,
            "warnings": ISSUES,
            "simulated": SIMULATED,
        },
        ["simulated"],
    ),
)
PAGE = page_of("verifications", shape(_BRIEF))
