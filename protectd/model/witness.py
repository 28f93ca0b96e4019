"""A row that testifies, after the connection was lost at a commit, whether the commit took place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from protectd.model.base import Unmistakable

WITNESS = "witness"


@dataclass(frozen=True, slots=True)
class Witness:
    """
    :ivar updated_at: the moment that the change left in the row; None: the row itself is new, and its id was
        never used before.
    """

    model: type[Any]
    id: str
    updated_at: datetime | None

    def testifies(self, session: Session) -> bool:
        row = session.get(self.model, self.id)
        return row is not None and self.updated_at in (None, row.updated_at)


def note(session: Session, flush_context: object) -> None:
    """After each flush: keep one row of what it wrote. A new one is the better witness, for others may have
    changed it since."""
    for entity in session.new:
        note_new(session, entity)
    if WITNESS in session.info:
        return
    for entity in session.dirty:
        moment = vars(entity).get("updated_at")
        if _is_fit(entity) and moment is not None and session.is_modified(entity):
            session.info[WITNESS] = Witness(type(entity), entity.id, moment)


def note_new(session: Session, entity: Any) -> None:
    """Keep a row that was just written for the first time, if it is fit."""
    if _is_fit(entity):
        session.info[WITNESS] = Witness(type(entity), entity.id, None)


def _is_fit(entity: Any) -> bool:
    """Rows that others may make too, because they are found by what they mean or numbered, prove nothing."""
    return isinstance(entity, Unmistakable) and isinstance(getattr(entity, "id", None), str)
