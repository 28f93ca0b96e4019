"""Quotas as the key manager's contract shows them."""

from __future__ import annotations

from collections.abc import Mapping

from protectd.model.repositories.quotas import KEY_MANAGER


def limits(found: Mapping[str, int]) -> dict[str, int | None]:
    """Null where nothing is said."""
    return {resource: found.get(resource) for resource in KEY_MANAGER}
