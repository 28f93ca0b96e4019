"""A secret store as the key manager's contract shows it."""

from __future__ import annotations

from typing import Any

from protectd.api.views.key_manager.common import moment
from protectd.api.views.key_manager.secrets import ACTIVE
from protectd.domain.secret_stores import KnownStore


def detail(store: KnownStore, base: str) -> dict[str, Any]:
    """A store is one plug-in here, not one for storing and another for sealing: the latter is null.

    :param base: what all references begin with.
    """
    created = moment(store.created_at)
    return {
        "created": created,
        "updated": created,
        "status": ACTIVE,
        "name": store.name,
        "secret_store_plugin": store.plugin,
        "crypto_plugin": None,
        "global_default": store.is_default,
        "secret_store_ref": f"{base}/secret-stores/{store.id}",
    }
