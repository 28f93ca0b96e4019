"""A task: outbox, lease, retry schedule, progress and history of one asynchronous operation, in one row."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Double, Index, Integer, String, false
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
    UTCDateTime,
    id_column,
    utc_now,
)
from protectd.model.states import TaskState


class Task(Stateful, Base):
    """One operation on one entity.

    :ivar host: only a worker of this host may claim it; None: any.
    :ivar not_before: not to be claimed earlier.
    :ivar lease_token: every later write of the claimer carries it; a new claim makes a new one, and the
        claimer's end leaves it.
    :ivar turn: among those that wait, the lowest goes next; how it is given is fair between projects.
    :ivar simulated: ended by a handler that touches nothing, for drills.
    :ivar brief: it takes no longer than its rows, so that several such are done together.
    :ivar counted: it is in its project's quota of operations until it ends.
    :ivar marks: what the work has begun, for its repetition: kept when the claimer is lost.
    :ivar outcome: the contract's word for how its subject ended.
    """

    __tablename__ = "tasks"
    __table_args__ = (
        Index(None, "state", "not_before"),
        Index(None, "state", "lease_expires_at"),
        Index(None, "project_id", "created_at", "id"),
        Index(None, "project_id", "operation", "created_at", "id"),
        Index(None, "project_id", "outcome", "created_at", "id"),
        Index(None, "created_at", "id"),
        Index(None, "plan_id", "created_at", "id"),
        Index(None, "checkpoint_id"),
        Index(None, "entity_type", "entity_id"),
        Index(None, "state", "turn", "created_at"),
        Index(None, "state", "brief", "turn", "created_at"),
        Index(None, "project_id", "state", "turn"),
        TABLE_OPTIONS,
    )
    kind = "task"
    state_column = "state"

    id: Mapped[str] = id_column()
    operation: Mapped[str] = mapped_column(String(LENGTH_WORD))
    method: Mapped[str] = mapped_column(String(LENGTH_WORD))
    state: Mapped[str] = mapped_column(String(LENGTH_WORD), default=TaskState.PENDING)
    project_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    user_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    request_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    roles: Mapped[list[str]] = mapped_column(Json, default=list)
    entity_type: Mapped[str] = mapped_column(String(LENGTH_WORD))
    entity_id: Mapped[str] = mapped_column(String(LENGTH_ID))
    host: Mapped[str | None] = mapped_column(String(LENGTH_NAME))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    max_attempts: Mapped[int] = mapped_column(Integer, default=5)
    turn: Mapped[float] = mapped_column(Double, default=0.0, server_default="0")
    simulated: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    counted: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    brief: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    not_before: Mapped[datetime | None] = mapped_column(UTCDateTime)
    sent_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    sent_count: Mapped[int] = mapped_column(Integer, default=0)
    lease_owner: Mapped[str | None] = mapped_column(String(LENGTH_NAME))
    lease_token: Mapped[str | None] = mapped_column(String(LENGTH_ID))
    lease_expires_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    cancel_requested_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    deadline_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    progress: Mapped[dict[str, Any] | None] = mapped_column(Json)
    marks: Mapped[list[str] | None] = mapped_column(Json)
    error_code: Mapped[str | None] = mapped_column(String(LENGTH_WORD))
    error_message: Mapped[str | None] = mapped_column(FreeText)
    outcome: Mapped[str | None] = mapped_column(String(LENGTH_WORD))
    plan_id: Mapped[str | None] = mapped_column(String(LENGTH_ID))
    provider_id: Mapped[str | None] = mapped_column(String(LENGTH_ID))
    checkpoint_id: Mapped[str | None] = mapped_column(String(LENGTH_ID))
    restore_id: Mapped[str | None] = mapped_column(String(LENGTH_ID))
    verification_id: Mapped[str | None] = mapped_column(String(LENGTH_ID))
    scheduled_operation_id: Mapped[str | None] = mapped_column(String(LENGTH_ID))
    started_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utc_now, onupdate=utc_now)
