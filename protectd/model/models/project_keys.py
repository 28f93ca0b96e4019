"""A project's key: what its secrets are sealed with, itself sealed with a master key."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Integer, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from protectd.model.base import (
    LENGTH_NAME,
    LENGTH_WORD,
    TABLE_OPTIONS,
    Base,
    UTCDateTime,
    id_column,
    utc_now,
)


class ProjectKeyRow(Base):
    """Of the keys of one project in one store the highest `generation` seals; all of them open."""

    __tablename__ = "project_keys"
    __table_args__ = (
        UniqueConstraint("project_id", "store", "generation", name="uq_project_keys_generation"),
        Index(None, "store", "master_key_id", "id"),
        TABLE_OPTIONS,
    )

    id: Mapped[str] = id_column()
    project_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    store: Mapped[str] = mapped_column(String(LENGTH_WORD))
    generation: Mapped[int] = mapped_column(Integer, default=1)
    master_key_id: Mapped[str] = mapped_column(String(LENGTH_WORD))
    wrapped: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utc_now, onupdate=utc_now)
