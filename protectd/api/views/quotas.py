"""Quotas: limits by resource, alone or with what is in use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protectd.model.repositories.quotas import PROTECTION


def limits(found: Mapping[str, int]) -> dict[str, Any]:
    return {resource: found[resource] for resource in PROTECTION}


def usage(found: Mapping[str, int], usages: Mapping[str, int]) -> dict[str, Any]:
    """The contract has `reserved`: nothing is ever reserved here, what is taken is in use at once."""
    return {
        resource: {"limit": found[resource], "in_use": usages[resource], "reserved": 0}
        for resource in PROTECTION
    }
