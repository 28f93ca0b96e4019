"""Secret stores that were ever configured, and which one a project prefers."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, UniqueConstraint
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


class SecretStoreRow(Base):
    """What a store is called by clients. That it is not configured any more takes nothing from its row."""

    __tablename__ = "secret_stores"
    __table_args__ = (UniqueConstraint("name", name="uq_secret_stores_name"), TABLE_OPTIONS)

    id: Mapped[str] = id_column()
    name: Mapped[str] = mapped_column(String(LENGTH_WORD))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utc_now)


class PreferredStore(Base):
    """Seals what a project adds, instead of the one that seals for all."""

    __tablename__ = "preferred_stores"
    __table_args__ = (TABLE_OPTIONS,)

    project_id: Mapped[str] = mapped_column(String(LENGTH_NAME), primary_key=True)
    store: Mapped[str] = mapped_column(String(LENGTH_WORD), ForeignKey("secret_stores.name"))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utc_now)
