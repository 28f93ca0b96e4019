"""A request that its sender may repeat: what it was, and how it was answered."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from protectd.model.base import LENGTH_WORD, TABLE_OPTIONS, Base, FreeText, Json, UTCDateTime


class IdempotencyKey(Base):
    """
    :ivar id: SHA-256 over project, user, route and the sender's key, in hex.
    :ivar body_digest: HMAC-SHA-256 of query and body by the sender's key, in hex: another body under one key
        is another request.
    :ivar status: of the answer; None: it carried a secret and is not kept.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index(None, "created_at"), TABLE_OPTIONS)

    id: Mapped[str] = mapped_column(String(LENGTH_WORD), primary_key=True)
    body_digest: Mapped[str] = mapped_column(String(LENGTH_WORD))
    status: Mapped[int | None] = mapped_column(Integer)
    location: Mapped[str | None] = mapped_column(FreeText)
    body: Mapped[Any | None] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
