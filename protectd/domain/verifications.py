"""Verifications: how deep, and with which parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protectd.common.ids import new_id
from protectd.model.models import Checkpoint, Verification
from protectd.model.states import RunStatus

STRUCTURE = "structure"
DATA = "data"
DEPTHS = (STRUCTURE, DATA)


def new_verification(checkpoint: Checkpoint, wanted: Mapping[str, Any]) -> Verification:
    """A PENDING verification; without a word on depth every byte is read."""
    return Verification(
        id=new_id(),
        project_id=checkpoint.project_id,
        provider_id=checkpoint.provider_id,
        checkpoint_id=checkpoint.id,
        parameters=wanted.get("parameters") or {},
        depth=wanted.get("depth") or DATA,
        status=RunStatus.PENDING,
    )
