"""A service: one daemon on one host, with its heartbeat."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from protectd.model.base import (
    LENGTH_ID,
    LENGTH_NAME,
    TABLE_OPTIONS,
    Base,
    PerhapsText,
    Timestamps,
    UTCDateTime,
    utc_now,
)


def perhaps(length: int) -> Any:
    return mapped_column(PerhapsText(length), nullable=False, server_default="")


class Service(Timestamps, Base):
    """`updated_at` and `report_count` move with each heartbeat; `modified_at` when an operator changes it."""

    __tablename__ = "services"
    __table_args__ = (UniqueConstraint("host", "binary", name="uq_services_host_binary"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    host: Mapped[str] = mapped_column(String(LENGTH_NAME))
    binary: Mapped[str] = mapped_column(String(LENGTH_NAME))
    topic: Mapped[str | None] = perhaps(LENGTH_NAME)
    report_count: Mapped[int] = mapped_column(Integer, default=0)
    disabled: Mapped[bool] = mapped_column(Boolean, default=False)
    disabled_reason: Mapped[str | None] = perhaps(LENGTH_NAME)
    modified_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utc_now)
    rpc_current_version: Mapped[str | None] = perhaps(LENGTH_ID)
    rpc_available_version: Mapped[str | None] = perhaps(LENGTH_ID)
