"""An order: a key that a worker makes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from protectd.model.base import (
    LENGTH_ID,
    LENGTH_NAME,
    LENGTH_WORD,
    TABLE_OPTIONS,
    Base,
    FreeText,
    Json,
    Stateful,
    Timestamps,
    id_column,
)
from protectd.model.states import OrderStatus


class Order(Timestamps, Stateful, Base):
    """
    :ivar meta: what is wished, without a passphrase.
    :ivar passphrase_id: the secret of the service's own that keeps it until the order's end.
    :ivar secret_id: what has been made: one secret, or a container of several.
    """

    __tablename__ = "orders"
    __table_args__ = (Index(None, "project_id", "created_at", "id"), TABLE_OPTIONS)
    kind = "order"

    id: Mapped[str] = id_column()
    project_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    creator_id: Mapped[str | None] = mapped_column(String(LENGTH_NAME))
    type: Mapped[str] = mapped_column(String(LENGTH_WORD))
    status: Mapped[str] = mapped_column(String(LENGTH_WORD), default=OrderStatus.PENDING)
    meta: Mapped[dict[str, Any]] = mapped_column(Json)
    passphrase_id: Mapped[str | None] = mapped_column(String(LENGTH_ID))
    secret_id: Mapped[str | None] = mapped_column(String(LENGTH_ID), ForeignKey("secrets.id"))
    container_id: Mapped[str | None] = mapped_column(String(LENGTH_ID), ForeignKey("containers.id"))
    error_status_code: Mapped[str | None] = mapped_column(String(LENGTH_WORD))
    error_reason: Mapped[str | None] = mapped_column(FreeText)
