"""Body and answer of /providers/{provider_id}/checkpoints/action."""

from __future__ import annotations

from protectd.api.schemas.common import OBJECT, STRING, UUID, Schema, array, closed, shape, wrapped
from protectd.domain.copies import OWN, PARAMETERS
from protectd.domain.providers import Protectables, Providers

KEY = "copy"

CREATE = wrapped(KEY, closed({"plan_id": UUID, "parameters": PARAMETERS}, ["plan_id", "parameters"]))


def create_of(providers: Providers, protectables: Protectables) -> Schema:
    """CREATE with the providers that there are."""
    target = closed({"provider_id": UUID | {"enum": [provider.id for provider in providers]}})
    return wrapped(
        KEY, closed({"plan_id": UUID, "parameters": closed({OWN: target})}, ["plan_id", "parameters"])
    )


ONE = wrapped(
    KEY,
    shape(
        {
            "project_id": STRING,
            "provider_id": UUID,
            "plan_id": UUID,
            "checkpoint_id": array(shape({"checkpoint_protect_id": UUID, "checkpoint_copy_id": UUID})),
            "parameters": OBJECT,
        }
    ),
)
