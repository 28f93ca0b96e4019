"""A container as the key manager's contract shows it."""

from __future__ import annotations

from typing import Any

from protectd.api.views.key_manager.common import moment
from protectd.api.views.key_manager.secrets import ACTIVE
from protectd.model.models import Container, ContainerConsumer


def detail(container: Container, base: str) -> dict[str, Any]:
    """:param base: what all references begin with."""
    return {
        "created": moment(container.created_at),
        "updated": moment(container.updated_at),
        "status": ACTIVE,
        "name": container.name,
        "type": container.type,
        "creator_id": container.creator_id,
        "secret_refs": [
            {"name": each.name or None, "secret_ref": f"{base}/secrets/{each.secret_id}"}
            for each in container.secrets
        ],
        "consumers": [{"name": each.name, "URL": each.url} for each in container.consumers],
        "container_ref": f"{base}/containers/{container.id}",
    }


def consumer(consumer: ContainerConsumer) -> dict[str, Any]:
    """One entry of a list. A consumer never changes."""
    created = moment(consumer.created_at)
    told = {"created": created, "updated": created, "status": ACTIVE}
    return told | {"name": consumer.name, "URL": consumer.url}
