"""Checkpoints as retention looks at them: few columns of many rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

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


class Ended(NamedTuple):
    """A checkpoint that is available, or whose run has failed."""

    checkpoint: Expirable
    status: str
    provider_id: str
    scheduled_operation_id: str | None


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

    def has(self, ended: Ended) -> bool:
        """What the statements ask, of a checkpoint of the plan."""
        by, own = ended.scheduled_operation_id, self.operation_id
        made = by == own if own is not None else self.by_hand or by is not None
        return made and ended.provider_id == self.provider_id


class ExpiryRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def candidates(self, lot: Lot) -> list[Expirable]:
        """All that are available."""
        query = select(*_columns()).where(*_within(lot))
        return [
            Expirable(*row)
            for row in self.session.execute(query.where(Checkpoint.status == CheckpointStatus.AVAILABLE))
        ]

    def newest_status(self, lot: Lot) -> str | None:
        """How the last run ended that has ended. None: there is none."""
        query = (
            select(Checkpoint.status)
            .where(*_within(lot), Checkpoint.status.in_(ENDED))
            .order_by(*_NEWEST_FIRST)
            .limit(1)
        )
        return self.session.scalar(query)

    def ended_of(self, plan_id: str) -> list[Ended]:
        """All of a plan that were not copied, in every provider, newest first."""
        more = (Checkpoint.status, Checkpoint.provider_id, Checkpoint.scheduled_operation_id)
        query = select(*_columns(), *more).where(*_made_of(plan_id), Checkpoint.status.in_(ENDED))
        count = len(more)
        return [
            Ended(Expirable(*row[:-count]), *row[-count:])
            for row in self.session.execute(query.order_by(*_NEWEST_FIRST))
        ]


_NEWEST_FIRST = (
    func.coalesce(Checkpoint.started_at, Checkpoint.created_at).desc(),
    Checkpoint.id.desc(),
)


def _columns() -> tuple[Any, ...]:
    """Those of `Expirable`."""
    return (
        Checkpoint.id,
        Checkpoint.created_at,
        Checkpoint.started_at,
        Checkpoint.partial,
        Checkpoint.verified_at,
        Checkpoint.held_at,
        is_pinned(Checkpoint.id),
    )


def _made_of(plan_id: str) -> list[ColumnElement[bool]]:
    return [
        Checkpoint.plan_id == plan_id,
        Checkpoint.source_id.is_(None),
        Checkpoint.deleted.is_(False),
    ]


def _within(lot: Lot) -> list[ColumnElement[bool]]:
    found = [*_made_of(lot.plan_id), Checkpoint.provider_id == lot.provider_id]
    if lot.operation_id is not None:
        return [*found, Checkpoint.scheduled_operation_id == lot.operation_id]
    return found if lot.by_hand else [*found, Checkpoint.scheduled_operation_id.is_not(None)]
