"""A container: a named set of secrets, and who needs it."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Self

from sqlalchemy import ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from protectd.model.base import (
    LENGTH_ID,
    LENGTH_NAME,
    LENGTH_WORD,
    TABLE_OPTIONS,
    Base,
    Timestamps,
    Unmistakable,
    UTCDateTime,
    id_column,
    utc_now,
)


class Container(Timestamps, Unmistakable, Base):
    """`type` says which names its secrets have: generic, rsa, certificate."""

    __tablename__ = "containers"
    __table_args__ = (Index(None, "project_id", "created_at", "id"), TABLE_OPTIONS)

    id: Mapped[str] = id_column()
    project_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    creator_id: Mapped[str | None] = mapped_column(String(LENGTH_NAME))
    name: Mapped[str | None] = mapped_column(String(LENGTH_NAME))
    type: Mapped[str] = mapped_column(String(LENGTH_WORD))
    secrets: Mapped[list[ContainerSecret]] = relationship(
        order_by="ContainerSecret.id", lazy="selectin", cascade="all, delete-orphan"
    )
    consumers: Mapped[list[ContainerConsumer]] = relationship(
        order_by="ContainerConsumer.id", lazy="selectin", cascade="all, delete-orphan"
    )


class ContainerSecret(Base):
    """`name` is what the secret is in the container; empty: nothing in particular."""

    __tablename__ = "container_secrets"
    __table_args__ = (
        UniqueConstraint("container_id", "secret_id", "name", name="uq_container_secrets_secret"),
        Index(None, "secret_id"),
        TABLE_OPTIONS,
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    container_id: Mapped[str] = mapped_column(String(LENGTH_ID), ForeignKey("containers.id"))
    secret_id: Mapped[str] = mapped_column(String(LENGTH_ID), ForeignKey("secrets.id"))
    name: Mapped[str] = mapped_column(String(LENGTH_NAME), default="")


class ContainerConsumer(Base):
    """`digest` stands for name and URL in the unique constraint: together they are too long for an index.

    :ivar project_id: who said so; None: it was said before this was kept.
    """

    __tablename__ = "container_consumers"
    __table_args__ = (
        UniqueConstraint("container_id", "digest", name="uq_container_consumers_digest"),
        TABLE_OPTIONS,
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    container_id: Mapped[str] = mapped_column(String(LENGTH_ID), ForeignKey("containers.id"))
    name: Mapped[str] = mapped_column(String(LENGTH_NAME))
    url: Mapped[str] = mapped_column(String(LENGTH_NAME))
    digest: Mapped[str] = mapped_column(String(LENGTH_WORD))
    project_id: Mapped[str | None] = mapped_column(String(LENGTH_NAME))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utc_now)

    @classmethod
    def of(cls, container_id: str, name: str, url: str, project_id: str) -> Self:
        digest = hashlib.sha256(json.dumps([name, url]).encode()).hexdigest()
        return cls(container_id=container_id, name=name, url=url, digest=digest, project_id=project_id)
