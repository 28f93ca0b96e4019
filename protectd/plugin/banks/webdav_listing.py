"""What a WebDAV server says about its resources: the XML of a PROPFIND answer (RFC 4918, section 9.1)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from protectd.plugin.base import BankUnavailable

QUESTION = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>'
    b"<resourcetype/><getcontentlength/><getlastmodified/></prop></propfind>"
)
_DAV = "{DAV:}"


class Resource(NamedTuple):
    """One resource of a server.

    :ivar path: of its URL, decoded, without a `/` at the end.
    :ivar changed_at: None when the server does not say.
    """

    path: str
    is_collection: bool
    size: int
    changed_at: datetime | None


def resources(raw: bytes, place: str) -> list[Resource]:
    """:raises BankUnavailable: it is no such answer, or half of one."""
    try:
        root = ElementTree.fromstring(raw)
        if root.tag != f"{_DAV}multistatus":
            raise ValueError(root.tag)
        return list(_each(root))
    except (ElementTree.ParseError, ValueError):
        where = place or "its root"
        raise BankUnavailable(reason=f"the server's listing of {where} cannot be read") from None


def _each(root: Element) -> Iterator[Resource]:
    for response in root.iter(f"{_DAV}response"):
        path = unquote(urlsplit(response.findtext(f"{_DAV}href", "")).path).rstrip("/")
        known = response.find(f".//{_DAV}prop/{_DAV}resourcetype")
        is_collection = known is not None and known.find(f"{_DAV}collection") is not None
        size = response.findtext(f".//{_DAV}getcontentlength")
        if not is_collection and size is None:
            continue  # such as one that was deleted while the server looked
        changed_at = _moment(response.findtext(f".//{_DAV}getlastmodified", ""))
        yield Resource(path, is_collection, int(size or 0), changed_at)


def _moment(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None
