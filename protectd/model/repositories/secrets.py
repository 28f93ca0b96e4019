"""Sealed secrets and their consumers."""

from __future__ import annotations

from sqlalchemy import select

from protectd.common.errors import NotFound
from protectd.model.models import Secret, SecretConsumer
from protectd.model.models.secrets import consumer_digest
from protectd.model.repositories.base import Repository
from protectd.model.repositories.filters import exact


class SecretNotFound(NotFound):
    code = "secret.not_found"
    message = "secret {id} is not there"


class SecretRepository(Repository[Secret]):
    model = Secret
    not_found = SecretNotFound
    sort_keys = ("id", "name", "created_at", "updated_at")
    filters = {"name": exact(Secret.name), "secret_type": exact(Secret.secret_type)}

    def consumer(
        self, secret_id: str, service: str, resource_type: str, resource_id: str
    ) -> SecretConsumer | None:
        query = select(SecretConsumer).where(
            SecretConsumer.secret_id == secret_id,
            SecretConsumer.digest == consumer_digest(service, resource_type, resource_id),
        )
        return self.session.scalars(query).one_or_none()

    def consumed_by(self, service: str, resource_type: str, resource_id: str) -> list[Secret]:
        """All secrets that one consumer depends on, oldest first."""
        query = (
            select(Secret)
            .join(SecretConsumer, SecretConsumer.secret_id == Secret.id)
            .where(SecretConsumer.digest == consumer_digest(service, resource_type, resource_id))
            .where(Secret.deleted.is_(False))
            .order_by(Secret.created_at, Secret.id)
        )
        return self.all(query)

    def has_consumers(self, secret_id: str) -> bool:
        query = select(SecretConsumer.id).where(SecretConsumer.secret_id == secret_id).limit(1)
        return self.session.scalar(query) is not None

    def delete(self, entity: Secret) -> None:
        """The row stays, its sealed bytes go."""
        entity.cipher_text = b""
        super().delete(entity)
