"""Bodies and answers of /providers/{provider_id}/checkpoints/{checkpoint_id}/hold."""

from __future__ import annotations

from protectd.api.schemas.common import MOMENT, NAME, STRING, closed, either, shape, wrapped

KEY = "hold"

UPDATE = wrapped(KEY, closed({"reason": NAME}, ["reason"]))

HOLD = either({"type": "null"}, shape({"reason": STRING, "held_by": STRING, "held_at": MOMENT}))
ONE = wrapped(KEY, HOLD)
