"""A scheduled operation: what is done when a trigger fires, for whom, and what came of each time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from protectd.model.base import (
    LENGTH_ID,
    LENGTH_NAME,
    LENGTH_WORD,
    TABLE_OPTIONS,
    Base,
    FreeText,
    Json,
    Stateful,
    Timestamps,
    UTCDateTime,
    id_column,
    utc_now,
)


class ScheduledOperation(Timestamps, Stateful, Base):
    """`user_id` and `roles` are those of whoever gave it its definition: it runs with the rights they have in
    the project. `plan_id` and `provider_id` repeat what the definition names, to be asked for. Nothing is
    expected of it before `enabled_at`."""

    __tablename__ = "scheduled_operations"
    __table_args__ = (
        Index(None, "project_id", "created_at", "id"),
        Index(None, "trigger_id", "deleted"),
        Index(None, "plan_id", "deleted"),
        TABLE_OPTIONS,
    )
    kind = "scheduled_operation"

    id: Mapped[str] = id_column()
    name: Mapped[str] = mapped_column(String(LENGTH_NAME))
    description: Mapped[str | None] = mapped_column(String(LENGTH_NAME))
    operation_type: Mapped[str] = mapped_column(String(LENGTH_WORD))
    project_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    user_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    roles: Mapped[list[str]] = mapped_column(Json, default=list)
    trigger_id: Mapped[str] = mapped_column(String(LENGTH_ID), ForeignKey("triggers.id"))
    operation_definition: Mapped[dict[str, Any]] = mapped_column(Json)
    plan_id: Mapped[str | None] = mapped_column(String(LENGTH_ID))
    provider_id: Mapped[str | None] = mapped_column(String(LENGTH_ID))
    enabled: Mapped[bool] = mapped_column(Boolean, default=True)
    enabled_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utc_now)


class Occurrence(Base):
    """One time at which a scheduled operation was to run, and what came of it.

    :ivar key: unique for an operation: the moment in ISO 8601, or what tells one event from another.
    :ivar outcome: a word of `protectd.domain.occurrences`; `reason` says why where it did not run.
    :ivar entity_type: with `entity_id`, what it made: a checkpoint, a verification; None: nothing.
    """

    __tablename__ = "occurrences"
    __table_args__ = (
        UniqueConstraint("scheduled_operation_id", "key", name="uq_occurrences_operation_key"),
        Index(None, "project_id", "expected_at", "id"),
        Index(None, "scheduled_operation_id", "expected_at", "id"),
        TABLE_OPTIONS,
    )

    id: Mapped[str] = id_column()
    project_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    scheduled_operation_id: Mapped[str] = mapped_column(String(LENGTH_ID))
    trigger_id: Mapped[str] = mapped_column(String(LENGTH_ID))
    key: Mapped[str] = mapped_column(String(LENGTH_WORD))
    expected_at: Mapped[datetime] = mapped_column(UTCDateTime)
    decided_at: Mapped[datetime] = mapped_column(UTCDateTime)
    outcome: Mapped[str] = mapped_column(String(LENGTH_WORD))
    reason: Mapped[str | None] = mapped_column(FreeText)
    entity_type: Mapped[str | None] = mapped_column(String(LENGTH_WORD))
    entity_id: Mapped[str | None] = mapped_column(String(LENGTH_ID))
