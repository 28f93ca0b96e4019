"""A vault: the repository of one (provider, project), and the secret that opens it."""

from __future__ import annotations

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from protectd.model.base import (
    LENGTH_ID,
    LENGTH_NAME,
    LENGTH_WORD,
    TABLE_OPTIONS,
    Base,
    Stateful,
    Timestamps,
    id_column,
)
from protectd.model.states import VaultStatus


class Vault(Timestamps, Stateful, Base):
    """`repository_id` is the id in the repository's config: 64 hex digits, known once the vault is ready."""

    __tablename__ = "vaults"
    __table_args__ = (UniqueConstraint("provider_id", "project_id"), TABLE_OPTIONS)
    kind = "vault"

    id: Mapped[str] = id_column()
    provider_id: Mapped[str] = mapped_column(String(LENGTH_ID))
    project_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    repository_id: Mapped[str | None] = mapped_column(String(LENGTH_WORD))
    secret_id: Mapped[str] = mapped_column(String(LENGTH_ID), ForeignKey("secrets.id"))
    status: Mapped[str] = mapped_column(String(LENGTH_WORD), default=VaultStatus.CREATING)
