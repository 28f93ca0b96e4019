"""Who may read one secret or container, beside those whom its project lets."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from protectd.model.base import (
    LENGTH_ID,
    LENGTH_NAME,
    LENGTH_WORD,
    TABLE_OPTIONS,
    Base,
    UTCDateTime,
    id_column,
    utc_now,
)


class Acl(Base):
    """`id` is that of the thing it is about, `kind` what that is. Without a row everyone of the project may
    read; with `project_access` false its creator, administrators of the project and `users` alone."""

    __tablename__ = "acls"

    id: Mapped[str] = id_column()
    kind: Mapped[str] = mapped_column(String(LENGTH_WORD))
    project_access: Mapped[bool] = mapped_column(Boolean, default=True)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utc_now, onupdate=utc_now)
    users: Mapped[list[AclUser]] = relationship(
        order_by="AclUser.user_id", lazy="selectin", cascade="all, delete-orphan"
    )


class AclUser(Base):
    __tablename__ = "acl_users"
    __table_args__ = (Index(None, "user_id"), TABLE_OPTIONS)

    acl_id: Mapped[str] = mapped_column(String(LENGTH_ID), ForeignKey("acls.id"), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(LENGTH_NAME), primary_key=True)
