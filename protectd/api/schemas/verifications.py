"""Bodies of /verifications."""

from __future__ import annotations

from protectd.api.schemas.common import PARAMETERS, UUID, closed, wrapped
from protectd.domain.verifications import DEPTHS

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
