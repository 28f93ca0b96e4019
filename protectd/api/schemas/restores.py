"""Bodies of /restores."""

from __future__ import annotations

from protectd.api.schemas.common import METADATA, PARAMETERS, UUID, closed, wrapped

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
