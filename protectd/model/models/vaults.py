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
    Json,
    Stateful,
    Timestamps,
    id_column,
)
from protectd.model.states import VaultStatus


class Vault(Timestamps, Stateful, Base):
    """`repository_id` is the id in the repository's config: 64 hex digits.

    `initial` holds, until the vault is ready, the first objects of the repository just as they will lie in
    the bank: who finishes a creation, and how many do, writes the same bytes.
    """

    __tablename__ = "vaults"
    __table_args__ = (UniqueConstraint("provider_id", "project_id"), TABLE_OPTIONS)
    kind = "vault"

    id: Mapped[str] = id_column()
    provider_id: Mapped[str] = mapped_column(String(LENGTH_ID))
    project_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    repository_id: Mapped[str | None] = mapped_column(String(LENGTH_WORD))
    secret_id: Mapped[str] = mapped_column(String(LENGTH_ID), ForeignKey("secrets.id"))
    initial: Mapped[dict[str, str] | None] = mapped_column(Json)
    status: Mapped[str] = mapped_column(String(LENGTH_WORD), default=VaultStatus.CREATING)
