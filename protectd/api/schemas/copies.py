"""Body of /providers/{provider_id}/checkpoints/action."""

from __future__ import annotations

from protectd.api.schemas.common import UUID, closed, wrapped
from protectd.domain.copies import PARAMETERS

KEY = "copy"

CREATE = wrapped(KEY, closed({"plan_id": UUID, "parameters": PARAMETERS}, ["plan_id", "parameters"]))
