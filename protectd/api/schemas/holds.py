"""Bodies of /providers/{provider_id}/checkpoints/{checkpoint_id}/hold."""

from __future__ import annotations

from protectd.api.schemas.common import NAME, closed, wrapped

KEY = "hold"

UPDATE = wrapped(KEY, closed({"reason": NAME}, ["reason"]))
