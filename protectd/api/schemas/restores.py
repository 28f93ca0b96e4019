"""Bodies and answers of /restores."""

from __future__ import annotations

from protectd.api.schemas.common import (
    COUNT,
    FLAG,
    ISSUES,
    MAYBE_STRING,
    METADATA,
    PARAMETERS,
    PROGRESS,
    SIMULATED,
    UUID,
    Schema,
    closed,
    page_of,
    shape,
    wrapped,
)
from protectd.api.schemas.narrowing import parameters_of
from protectd.api.schemas.runs import RUN
from protectd.domain.providers import Protectables, Providers
from protectd.domain.restores import ORIGINAL_TARGETS

KEY = "restore"

CREATE = wrapped(
    KEY,
    closed(
        {
            "provider_id": UUID,
            "checkpoint_id": UUID,
            "restore_target": {"type": ["string", "null"], "maxLength": 255},
            "restore_auth": METADATA,
            "parameters": PARAMETERS,
        },
        ["provider_id", "checkpoint_id", "parameters"],
    ),
)


def create_of(providers: Providers, protectables: Protectables) -> Schema:
    """CREATE, one form for each provider."""
    forms = [
        closed(
            {
                "provider_id": {"const": provider.id},
                "checkpoint_id": UUID,
                "restore_target": {"enum": [None, *ORIGINAL_TARGETS]},
                "restore_auth": METADATA,
                "parameters": parameters_of(provider.restore_schemas),
            },
            ["provider_id", "checkpoint_id", "parameters"],
        )
        for provider in providers
    ]
    return wrapped(KEY, {"anyOf": forms})


_BRIEF: Schema = RUN | {"restore_target": MAYBE_STRING, "trusted": FLAG, "written_bytes": COUNT}

ONE = wrapped(
    KEY, shape(_BRIEF | {"progress": PROGRESS, "warnings": ISSUES, "simulated": SIMULATED}, ["simulated"])
)
PAGE = page_of("restores", shape(_BRIEF))
