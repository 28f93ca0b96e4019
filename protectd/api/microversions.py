"""Microversions of the key manager's contract: `OpenStack-API-Version: key-manager X.Y`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from protectd.api.errors import MalformedHeader
from protectd.common.errors import NotAcceptable

HEADER = "OpenStack-API-Version"
SERVICE = "key-manager"
LATEST = "latest"

Version = tuple[int, int]

LOWEST: Version = (1, 0)
HIGHEST: Version = (1, 2)
RANGED: Version = (1, 1)
"""The documents of versions tell from which to which they go."""

CONSUMERS: Version = (1, 1)
"""Secrets tell their consumers."""

FORCED: Version = (1, 2)
"""Consumers keep a secret from being deleted unless that is forced."""

_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})")


class VersionNotSupported(NotAcceptable):
    code = "microversion.not_supported"
    place = HEADER
    message = "{reason}"


def of(headers: Mapping[str, str]) -> Version:
    """The version that a request asks for; the lowest where it says nothing, or speaks to another service.

    :raises MalformedHeader: it is none. :raises VersionNotSupported: there is no such version.
    """
    for part in headers.get(HEADER.lower(), "").split(","):
        service, _, wanted = part.strip().partition(" ")
        if service == SERVICE:
            return _parse(wanted.strip())
    return LOWEST


def _parse(text: str) -> Version:
    if text == LATEST:
        return HIGHEST
    found = _VERSION.fullmatch(text)
    if found is None:
        raise MalformedHeader(field=HEADER, reason="must be a version such as key-manager 1.2")
    version = int(found[1]), int(found[2])
    if not LOWEST <= version <= HIGHEST:
        raise VersionNotSupported(reason=f"versions are {spelled(LOWEST)} to {spelled(HIGHEST)}")
    return version


def spelled(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
