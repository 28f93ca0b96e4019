"""An anchor: how far a chain of audit events had come, where whoever can write its file cannot reach."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, String
from sqlalchemy.orm import Mapped, mapped_column

from protectd.model.base import LENGTH_WORD, Base, UTCDateTime


class AuditAnchor(Base):
    """`head` is the hash of event number `count` - 1; `ended`: nothing comes after it."""

    __tablename__ = "audit_anchors"

    chain: Mapped[str] = mapped_column(String(LENGTH_WORD), primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    head: Mapped[str] = mapped_column(String(LENGTH_WORD))
    ended: Mapped[bool] = mapped_column(Boolean, default=False)
    anchored_at: Mapped[datetime] = mapped_column(UTCDateTime)
