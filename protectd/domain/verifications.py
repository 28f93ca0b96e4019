"""Verifications: how deep, and with which parameters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import or_

from protectd.common.ids import new_id
from protectd.model.models import Checkpoint, Verification
from protectd.model.models.verifications import DATA, DEPTHS
from protectd.model.states import RunStatus, swap
from protectd.model.unit_of_work import UnitOfWork


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


def strongest(proven: Mapping[str, datetime]) -> tuple[str, datetime] | None:
    """The strongest of some depths, and when it was proven. None: there are none."""
    return max(proven.items(), key=lambda each: DEPTHS.index(each[0]), default=None)


def prove(uow: UnitOfWork, verification: Verification, at: datetime, recovery_s: float | None) -> None:
    """Say on the checkpoint that its data has proved good, unless something newer is said already.

    :param at: when the data had been looked at; what is written down late does not hide what came since.
    :param recovery_s: how long a drill took to restore it; None: it was none.
    """
    id, depth = verification.checkpoint_id, verification.depth
    older = or_(Checkpoint.verified_at.is_(None), Checkpoint.verified_at < at)
    swap(uow.session, Checkpoint, id, [older], {"verified_at": at, "verified_depth": depth})
    if recovery_s is not None and not uow.verifications.drilled_since(verification, at):
        swap(uow.session, Checkpoint, id, [], {"proven_recovery_s": recovery_s})
