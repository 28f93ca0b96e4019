"""Columns that restores and verifications share: a run over a checkpoint that ends in success or fail."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from protectd.model.base import (
    LENGTH_ID,
    LENGTH_NAME,
    LENGTH_WORD,
    FreeText,
    Json,
    Stateful,
    Timestamps,
    UTCDateTime,
)
from protectd.model.states import RunStatus


class CheckpointRun(Timestamps, Stateful):
    """`resources_status` and `resources_reason` are maps keyed `type#id`."""

    project_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    provider_id: Mapped[str] = mapped_column(String(LENGTH_ID))
    checkpoint_id: Mapped[str] = mapped_column(String(LENGTH_ID), index=True)
    parameters: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    status: Mapped[str] = mapped_column(String(LENGTH_WORD), default=RunStatus.PENDING)
    resources_status: Mapped[dict[str, str]] = mapped_column(Json, default=dict)
    resources_reason: Mapped[dict[str, str]] = mapped_column(Json, default=dict)
    error_code: Mapped[str | None] = mapped_column(String(LENGTH_WORD))
    error_message: Mapped[str | None] = mapped_column(FreeText)
    files: Mapped[int] = mapped_column(BigInteger, default=0)
    issue_count: Mapped[int] = mapped_column(BigInteger, default=0)
    issues: Mapped[list[dict[str, str]]] = mapped_column(Json, default=list)
    started_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
