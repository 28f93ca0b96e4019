"""A provider: what it is called, and which parameters its plug-ins take."""

from __future__ import annotations

from typing import Any

from protectd.domain.providers import Provider


def detail(provider: Provider) -> dict[str, Any]:
    return {
        "id": provider.id,
        "name": provider.name,
        "description": provider.description,
        "extended_info_schema": provider.extended_info_schema(),
    }
