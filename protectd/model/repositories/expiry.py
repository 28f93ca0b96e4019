"""Checkpoints as retention looks at them: few columns of many rows."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, bindparam, case, exists, func, select
from sqlalchemy.orm import Session, aliased

from protectd.common.reports import DAMAGED, UNREAD
from protectd.model.models import Checkpoint, Verification
from protectd.model.models.verifications import DEPTHS
from protectd.model.repositories.checkpoints import is_pinned
from protectd.model.states import CheckpointStatus, RunStatus

ENDED = (CheckpointStatus.AVAILABLE, CheckpointStatus.ERROR)
"""How a run ends."""

AT_REST = (*ENDED, CheckpointStatus.ERROR_DELETING)
"""What may be deleted."""


class Ended(NamedTuple):
    """A checkpoint that is available, or whose run or deletion has failed.

    :ivar taken_at: when its data was read: of a copy, when that of its source was.
    :ivar damaged: a verification has found so, or could not look at all of it while the rest was there, and
        none as deep has found it good since.
    :ivar operation_id: the scheduled operation that made it, or the source of a copy. None: by hand, or the
        source is not known any more.
    :ivar source_status: None: that is not known, or it is no copy.
    """

    id: str
    status: str
    provider_id: str
    taken_at: datetime
    partial: bool
    verified_at: datetime | None
    held_at: datetime | None
    pinned: bool
    damaged: bool
    operation_id: str | None
    source_id: str | None
    source_status: str | None


class ExpiryRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def ended_of(self, plan_id: str) -> list[Ended]:
        """All of a plan, in every provider: first what was read last; of copies of one, the last first."""
        return [Ended(*row) for row in self.session.execute(_ENDED_OF, {"of_plan": plan_id})]


def _depth_of(run: type[Verification]) -> ColumnElement[int]:
    return case({depth: number for number, depth in enumerate(DEPTHS)}, value=run.depth, else_=0)


def _is_damaged() -> ColumnElement[bool]:
    found, later = aliased(Verification), aliased(Verification)
    good_since = exists().where(
        later.checkpoint_id == found.checkpoint_id,
        later.status == RunStatus.SUCCESS,
        later.deleted.is_(False),
        later.report.is_not(None),
        later.ended_at > found.ended_at,
        _depth_of(later) >= _depth_of(found),
    )
    return exists().where(
        found.checkpoint_id == Checkpoint.id,
        found.status == RunStatus.FAIL,
        found.error_code.in_((DAMAGED, UNREAD)),
        found.deleted.is_(False),
        ~good_since,
    )


_SOURCE = aliased(Checkpoint)
_BEGUN_AT = func.coalesce(Checkpoint.started_at, Checkpoint.created_at)
_TAKEN_AT = func.coalesce(
    case((Checkpoint.source_id.is_(None), Checkpoint.started_at), else_=_SOURCE.started_at),
    Checkpoint.created_at,
)
_ENDED_OF = (
    select(
        Checkpoint.id,
        Checkpoint.status,
        Checkpoint.provider_id,
        _TAKEN_AT,
        Checkpoint.partial,
        Checkpoint.verified_at,
        Checkpoint.held_at,
        is_pinned(Checkpoint.id),
        _is_damaged(),
        case(
            (Checkpoint.source_id.is_(None), Checkpoint.scheduled_operation_id),
            else_=_SOURCE.scheduled_operation_id,
        ),
        Checkpoint.source_id,
        _SOURCE.status,
    )
    .outerjoin(_SOURCE, _SOURCE.id == Checkpoint.source_id)
    .where(Checkpoint.plan_id == bindparam("of_plan"), Checkpoint.deleted.is_(False))
    .where(Checkpoint.status.in_(AT_REST))
    .order_by(_TAKEN_AT.desc(), _BEGUN_AT.desc(), Checkpoint.id.desc())
)
