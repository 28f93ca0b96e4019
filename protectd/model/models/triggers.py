"""A trigger: when something is to happen, or the door through which it is asked for."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from protectd.model.base import (
    LENGTH_ID,
    LENGTH_NAME,
    LENGTH_WORD,
    TABLE_OPTIONS,
    Base,
    Json,
    Stateful,
    Timestamps,
    UTCDateTime,
    id_column,
)


class Trigger(Timestamps, Stateful, Base):
    """
    :ivar properties: as they were given and checked: format, pattern, time zone, bounds and policies.
    :ivar expected_at: the next time by its pattern; None: never again, or it is one of events.
    :ivar next_at: when an engine is to look at it next: the expected time and its jitter; for one of events,
        since when some wait.
    :ivar secret_id: what events are signed with; None: it is one of times.
    """

    __tablename__ = "triggers"
    __table_args__ = (
        Index(None, "project_id", "created_at", "id"),
        Index(None, "deleted", "next_at"),
        TABLE_OPTIONS,
    )
    kind = "trigger"

    id: Mapped[str] = id_column()
    name: Mapped[str] = mapped_column(String(LENGTH_NAME))
    project_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    type: Mapped[str] = mapped_column(String(LENGTH_WORD))
    properties: Mapped[dict[str, Any]] = mapped_column(Json)
    expected_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    next_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    secret_id: Mapped[str | None] = mapped_column(String(LENGTH_ID))
