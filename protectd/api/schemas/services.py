"""Bodies of /os-services. The contract wraps neither."""

from __future__ import annotations

from protectd.api.schemas.common import DESCRIPTION, closed
from protectd.domain.services import DISABLED, ENABLED

KEY = "service"

UPDATE = closed({"status": {"enum": [ENABLED, DISABLED]}, "disabled_reason": DESCRIPTION}, ["status"])
