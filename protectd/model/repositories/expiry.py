"""Checkpoints as retention looks at them: few columns of many rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from protectd.model.models import Checkpoint
from protectd.model.repositories.checkpoints import is_pinned
from protectd.model.states import CheckpointStatus

ENDED = (CheckpointStatus.AVAILABLE, CheckpointStatus.ERROR)


class Expirable(NamedTuple):
    id: str
    created_at: datetime
    started_at: datetime | None
    partial: bool
    verified_at: datetime | None
    held_at: datetime | None
    pinned: bool


@dataclass(frozen=True, slots=True)
class Lot:
    """Checkpoints of one plan in one provider that were made there and not copied.

    :ivar operation_id: only what this scheduled operation has made; None: what any has.
    :ivar by_hand: and what was made without any.
    """

    plan_id: str
    provider_id: str
    operation_id: str | None = None
    by_hand: bool = False


class ExpiryRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def candidates(self, lot: Lot) -> list[Expirable]:
        """All that are available."""
        query = select(
            Checkpoint.id,
            Checkpoint.created_at,
            Checkpoint.started_at,
            Checkpoint.partial,
            Checkpoint.verified_at,
            Checkpoint.held_at,
            is_pinned(Checkpoint.id),
        ).where(*_within(lot))
        return [
            Expirable(*row)
            for row in self.session.execute(query.where(Checkpoint.status == CheckpointStatus.AVAILABLE))
        ]

    def newest_status(self, lot: Lot) -> str | None:
        """How the last run ended that has ended. None: there is none."""
        taken_at = func.coalesce(Checkpoint.started_at, Checkpoint.created_at)
        query = (
            select(Checkpoint.status)
            .where(*_within(lot), Checkpoint.status.in_(ENDED))
            .order_by(taken_at.desc(), Checkpoint.id.desc())
            .limit(1)
        )
        return self.session.scalar(query)


def _within(lot: Lot) -> list[ColumnElement[bool]]:
    found = [
        Checkpoint.plan_id == lot.plan_id,
        Checkpoint.provider_id == lot.provider_id,
        Checkpoint.source_id.is_(None),
        Checkpoint.deleted.is_(False),
    ]
    if lot.operation_id is not None:
        return [*found, Checkpoint.scheduled_operation_id == lot.operation_id]
    return found if lot.by_hand else [*found, Checkpoint.scheduled_operation_id.is_not(None)]
