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
    LongText,
    Timestamps,
    Unmistakable,
    UTCDateTime,
    id_column,
    utc_now,
)

LongBinary = LargeBinary().with_variant(mysql.MEDIUMBLOB(), *MYSQL_FAMILY)


class Secret(Timestamps, Unmistakable, Base):
    """
    :ivar name, algorithm, bit_length, mode, secret_type: labels that nobody checks against the content.
    :ivar expiration: from then on it is not found.
    :ivar content_type: of the payload; None: there is none yet, and `cipher_text` is empty.
    :ivar store: name of the secret store that sealed it.
    :ivar key_id: the project's key that sealed it, or a master key's name for those of the first days.
    """

    __tablename__ = "secrets"
    __table_args__ = (Index(None, "project_id", "created_at", "id"), TABLE_OPTIONS)

    id: Mapped[str] = id_column()
    project_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    name: Mapped[str | None] = mapped_column(String(LENGTH_NAME))
    secret_type: Mapped[str] = mapped_column(String(LENGTH_WORD), default="opaque")
    algorithm: Mapped[str | None] = mapped_column(String(LENGTH_NAME))
    bit_length: Mapped[int | None] = mapped_column(Integer)
    mode: Mapped[str | None] = mapped_column(String(LENGTH_NAME))
    expiration: Mapped[datetime | None] = mapped_column(UTCDateTime)
    creator_id: Mapped[str | None] = mapped_column(String(LENGTH_NAME))
    content_type: Mapped[str | None] = mapped_column(String(LENGTH_WORD))
    store: Mapped[str] = mapped_column(String(LENGTH_WORD))
    key_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    cipher_text: Mapped[bytes] = mapped_column(LongBinary)
    consumers: Mapped[list[SecretConsumer]] = relationship(
        order_by="SecretConsumer.id", cascade="save-update, merge, delete-orphan, delete"
    )


class SecretConsumer(Base):
    """Someone who needs a secret: as long as there is one, the secret is not deleted.

    `digest` stands for the three names in the unique constraint: together they are too long for an index.

    :ivar project_id: who said so; None: the service itself, or it was said before this was kept.
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
    project_id: Mapped[str | None] = mapped_column(String(LENGTH_NAME))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utc_now)

    @classmethod
    def of(
        cls,
        secret_id: str,
        service: str,
        resource_type: str,
        resource_id: str,
        project_id: str | None = None,
    ) -> Self:
        return cls(
            project_id=project_id,
            secret_id=secret_id,
            service=service,
            resource_type=resource_type,
            resource_id=resource_id,
            digest=consumer_digest(service, resource_type, resource_id),
        )


class SecretMetadata(Base):
    """A note of the user's on a secret."""

    __tablename__ = "secret_metadata"
    __table_args__ = (UniqueConstraint("secret_id", "key", name="uq_secret_metadata_key"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    secret_id: Mapped[str] = mapped_column(String(LENGTH_ID), ForeignKey("secrets.id"))
    key: Mapped[str] = mapped_column(String(LENGTH_NAME))
    value: Mapped[str] = mapped_column(LongText)


def consumer_digest(service: str, resource_type: str, resource_id: str) -> str:
    """64 hex digits; different for different names, wherever one ends and the next begins."""
    return hashlib.sha256(json.dumps([service, resource_type, resource_id]).encode()).hexdigest()
