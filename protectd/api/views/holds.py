"""A hold: why, by whom, since when."""

from __future__ import annotations

from typing import Any

from protectd.api.views.common import moment
from protectd.model.models import Checkpoint


def detail(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """None: it is not held."""
    if checkpoint.held_at is None:
        return None
    return {
        "reason": checkpoint.hold_reason,
        "held_by": checkpoint.held_by,
        "held_at": moment(checkpoint.held_at),
    }
