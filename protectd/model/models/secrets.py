"""A secret: sealed bytes, and who depends on them."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Self

from sqlalchemy import ForeignKey, Index, Integer, LargeBinary, String, UniqueConstraint
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column, relationship

from protectd.model.base import (
    LENGTH_ID,
    LENGTH_NAME,
    LENGTH_WORD,
    MYSQL_FAMILY,
    TABLE_OPTIONS,
    Base,
    Timestamps,
    UTCDateTime,
    id_column,
    utc_now,
)

LongBinary = LargeBinary().with_variant(mysql.MEDIUMBLOB(), *MYSQL_FAMILY)


class Secret(Timestamps, Base):
    """`store` names the secret store that sealed it, `key_id` that store's master key."""

    __tablename__ = "secrets"
    __table_args__ = (Index(None, "project_id", "created_at", "id"), TABLE_OPTIONS)

    id: Mapped[str] = id_column()
    project_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    name: Mapped[str] = mapped_column(String(LENGTH_NAME), default="")
    secret_type: Mapped[str] = mapped_column(String(LENGTH_WORD), default="opaque")
    store: Mapped[str] = mapped_column(String(LENGTH_WORD))
    key_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    cipher_text: Mapped[bytes] = mapped_column(LongBinary)
    consumers: Mapped[list[SecretConsumer]] = relationship(
        order_by="SecretConsumer.id", cascade="save-update, merge, delete-orphan, delete"
    )


class SecretConsumer(Base):
    """Someone who needs a secret: as long as there is one, the secret is not deleted.

    `digest` stands for the three names in the unique constraint: together they are too long for an index.
    """

    __tablename__ = "secret_consumers"
    __table_args__ = (
        UniqueConstraint("secret_id", "digest"),
        TABLE_OPTIONS,
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    secret_id: Mapped[str] = mapped_column(String(LENGTH_ID), ForeignKey("secrets.id"))
    service: Mapped[str] = mapped_column(String(LENGTH_NAME))
    resource_type: Mapped[str] = mapped_column(String(LENGTH_NAME))
    resource_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    digest: Mapped[str] = mapped_column(String(LENGTH_WORD))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utc_now)

    @classmethod
    def of(cls, secret_id: str, service: str, resource_type: str, resource_id: str) -> Self:
        return cls(
            secret_id=secret_id,
            service=service,
            resource_type=resource_type,
            resource_id=resource_id,
            digest=consumer_digest(service, resource_type, resource_id),
        )


def consumer_digest(service: str, resource_type: str, resource_id: str) -> str:
    """64 hex digits; different for different names, wherever one ends and the next begins."""
    return hashlib.sha256(json.dumps([service, resource_type, resource_id]).encode()).hexdigest()
