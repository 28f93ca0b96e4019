"""The version documents, in the key manager's form."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from protectd.api.microversions import HIGHEST, LOWEST, spelled

Version = dict[str, Any]


def version(base: str, microversions: bool) -> dict[str, Version]:
    return {"version": _current(base) if microversions else _stable(base)}


def versions(base: str, microversions: bool) -> dict[str, Any]:
    if microversions:
        return {"versions": [_current(base)]}
    return {"versions": {"values": [_stable(base)]}}


def build() -> dict[str, str]:
    """The release that serves, for people; a checkout that was never installed has none."""
    try:
        return {"build": metadata.version("protectd")}
    except metadata.PackageNotFoundError:
        return {"build": "unknown"}


def _links(base: str) -> list[dict[str, str]]:
    return [
        {"rel": "self", "href": f"{base}/v1/"},
        {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
    ]


def _stable(base: str) -> Version:
    media_type = {
        "base": "application/json",
        "type": "application/vnd.openstack.key-manager-v1+json",
    }
    return {"id": "v1", "status": "stable", "links": _links(base), "media-types": [media_type]}


def _current(base: str) -> Version:
    return {
        "id": "v1",
        "status": "CURRENT",
        "min_version": spelled(LOWEST),
        "max_version": spelled(HIGHEST),
        "links": _links(base),
    }
