"""Vaults by their subject."""

from __future__ import annotations

from sqlalchemy import select

from protectd.common.errors import NotFound
from protectd.model.models import Vault
from protectd.model.repositories.base import Repository
from protectd.model.repositories.filters import exact
from protectd.model.states import VaultStatus


class VaultRowNotFound(NotFound):
    code = "vault.not_found"
    message = "vault {id} is not there"


class VaultRepository(Repository[Vault]):
    model = Vault
    not_found = VaultRowNotFound
    sort_keys = ("id", "status", "created_at", "updated_at")
    filters = {"provider_id": exact(Vault.provider_id), "status": exact(Vault.status)}

    def of(self, provider_id: str, project_id: str) -> Vault | None:
        """The vault of one project with one provider; there is at most one."""
        query = select(Vault).where(Vault.provider_id == provider_id, Vault.project_id == project_id)
        return self.session.scalars(query).one_or_none()

    def ready(self) -> list[Vault]:
        """All that are whole, by project."""
        query = select(Vault).where(Vault.status == VaultStatus.READY, Vault.deleted.is_(False))
        return self.all(query.order_by(Vault.project_id, Vault.provider_id))
