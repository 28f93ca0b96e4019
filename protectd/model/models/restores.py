"""A restore: a checkpoint's data written back."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Index, String, false
from sqlalchemy.orm import Mapped, mapped_column

from protectd.model.base import LENGTH_NAME, TABLE_OPTIONS, Base, Json, id_column
from protectd.model.models.runs import CheckpointRun


class Restore(CheckpointRun, Base):
    """`trusted`: an administrator asked, so set-id bits, devices and foreign owners come back too.
    `dry_run`: nothing is written, `report` says what would be.
    `chosen`: what of the checkpoint is wanted: paths by `type#id`, none for all of that resource; None:
    everything."""

    __tablename__ = "restores"
    __table_args__ = (Index(None, "project_id", "created_at", "id"), TABLE_OPTIONS)
    kind = "restore"

    id: Mapped[str] = id_column()
    restore_target: Mapped[str] = mapped_column(String(LENGTH_NAME), default="")
    trusted: Mapped[bool] = mapped_column(Boolean, default=False)
    dry_run: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    chosen: Mapped[dict[str, list[str]] | None] = mapped_column(Json)
    report: Mapped[dict[str, Any] | None] = mapped_column(Json)
    written_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
