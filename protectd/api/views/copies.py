"""What was begun with a request for copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from protectd.model.models import Checkpoint, Plan


def detail(
    plan: Plan, parameters: Mapping[str, Any], pairs: Sequence[tuple[Checkpoint, Checkpoint]]
) -> dict[str, Any]:
    """:param pairs: each a checkpoint and its copy."""
    return {
        "project_id": plan.project_id,
        "provider_id": plan.provider_id,
        "plan_id": plan.id,
        "checkpoint_id": [
            {"checkpoint_protect_id": source.id, "checkpoint_copy_id": copy.id} for source, copy in pairs
        ],
        "parameters": dict(parameters),
    }
