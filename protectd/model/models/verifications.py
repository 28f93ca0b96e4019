"""A verification: a checkpoint's data read and checked."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from protectd.model.base import LENGTH_WORD, TABLE_OPTIONS, Base, Json, id_column
from protectd.model.models.runs import CheckpointRun


class Verification(CheckpointRun, Base):
    """`depth` is structure (index, packs, trees) or data (every byte, fresh from the bank)."""

    __tablename__ = "verifications"
    __table_args__ = (Index(None, "project_id", "created_at", "id"), TABLE_OPTIONS)
    kind = "verification"

    id: Mapped[str] = id_column()
    depth: Mapped[str] = mapped_column(String(LENGTH_WORD), default="structure")
    read_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    errors: Mapped[list[str]] = mapped_column(Json, default=list)
