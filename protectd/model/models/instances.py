"""An instance: a protectable thing a project has registered, on the host that has it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from protectd.model.base import (
    LENGTH_ID,
    LENGTH_NAME,
    LENGTH_WORD,
    TABLE_OPTIONS,
    Base,
    Json,
    Timestamps,
    id_column,
)


class Instance(Timestamps, Base):
    """`identity_hash`: 64 hex digits, unique among the living of a project, type and host; None: has none."""

    __tablename__ = "instances"
    __table_args__ = (
        UniqueConstraint(
            "project_id", "type", "host", "identity_hash", "deleted_marker", name="uq_instances_identity"
        ),
        Index(None, "project_id", "created_at", "id"),
        TABLE_OPTIONS,
    )

    id: Mapped[str] = id_column()
    project_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    type: Mapped[str] = mapped_column(String(LENGTH_WORD))
    name: Mapped[str] = mapped_column(String(LENGTH_NAME))
    host: Mapped[str] = mapped_column(String(LENGTH_NAME), default="")
    properties: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    identity_hash: Mapped[str | None] = mapped_column(String(LENGTH_WORD))
    deleted_marker: Mapped[str] = mapped_column(String(LENGTH_ID), default="")
    """Empty for the living, the row's id afterwards: a unique constraint must not see NULL here."""
