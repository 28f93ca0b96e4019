"""A token of the service's own: only its digest is kept."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from protectd.model.base import (
    LENGTH_NAME,
    LENGTH_WORD,
    TABLE_OPTIONS,
    Base,
    Json,
    UTCDateTime,
    id_column,
    utc_now,
)


class Token(Base):
    """`digest` is the SHA-256 of the token's text in 64 hex digits. `expires_at` None: never."""

    __tablename__ = "tokens"
    __table_args__ = (Index(None, "project_id", "created_at", "id"), TABLE_OPTIONS)

    id: Mapped[str] = id_column()
    digest: Mapped[str] = mapped_column(String(LENGTH_WORD), unique=True)
    name: Mapped[str] = mapped_column(String(LENGTH_NAME), default="")
    user_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    project_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    roles: Mapped[list[str]] = mapped_column(Json, default=list)
    expires_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utc_now)
