"""A verification: a checkpoint's data read and checked."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Double, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from protectd.model.base import LENGTH_WORD, TABLE_OPTIONS, Base, Json, id_column
from protectd.model.models.runs import CheckpointRun

STRUCTURE = "structure"
DATA = "data"
RESTORE = "restore"
DEPTHS = (STRUCTURE, DATA, RESTORE)
"""Each proves what those before it do, and more."""


class Verification(CheckpointRun, Base):
    """`depth` is structure (index, packs, trees), data (every byte, fresh from the bank) or restore (written
    to a scratch place and compared with what was recorded): then `recovery_s` is how long that took.
    `report`: what was compared and asserted."""

    __tablename__ = "verifications"
    __table_args__ = (Index(None, "project_id", "created_at", "id"), TABLE_OPTIONS)
    kind = "verification"

    id: Mapped[str] = id_column()
    depth: Mapped[str] = mapped_column(String(LENGTH_WORD), default=STRUCTURE)
    read_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    recovery_s: Mapped[float | None] = mapped_column(Double)
    report: Mapped[dict[str, Any] | None] = mapped_column(Json)
    errors: Mapped[list[str]] = mapped_column(Json, default=list)
