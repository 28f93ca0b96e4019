"""Time zones by their names in the IANA database."""

from __future__ import annotations

from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from protectd.common.errors import InvalidField

_NOT_MEANT = frozenset({"localtime", "Factory", "posixrules"})
"""What they mean depends on the host."""


@lru_cache(maxsize=1)
def known_zones() -> frozenset[str]:
    """Read from the system, else from the package `tzdata`."""
    return frozenset(available_timezones()) - _NOT_MEANT


def find_zone(name: str, field: str) -> ZoneInfo:
    """:raises InvalidField: there is none of this name."""
    if name not in known_zones():
        raise InvalidField(field=field, reason="must name a time zone such as Europe/Berlin")
    return ZoneInfo(name)
