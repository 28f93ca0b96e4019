"""Which places of a host a project may touch: the allow-list, and the places nobody may.

A request is judged by the text of its path: the API touches no resource and may run on another host.
A task judges again, by the resolved path on the host that has the data, and uses what was judged.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass

from protectd.plugin.base import MUST, Access, InvalidResource, PathNotAllowed, Schema

PATH_MAX_BYTES = 4095
NAME_MAX_BYTES = 255

ABSOLUTE_PATH: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": PATH_MAX_BYTES,
    "pattern": r"^(/(?!\.\.(/|$))[^/\u0000]{0,255})+$",
    MUST: f"must be an absolute path without '..', and at most {NAME_MAX_BYTES} bytes for each segment",
}
"""What `plain_path` takes, as far as a schema can tell: it does not count bytes."""


@dataclass(frozen=True, slots=True)
class Source:
    """A directory to read: resolved, with the absolute paths below it that are left out."""

    path: str
    excludes: tuple[str, ...] = ()


def plain_path(text: object, field: str = "path") -> str:
    """An absolute path in normal form: no empty, `.` or trailing segment.

    :raises InvalidResource: relative, with `..` or NUL, not writable as UTF-8, or too long.
    """
    reason = _fault(text)
    if reason:
        raise InvalidResource(field=field, reason=reason)
    return "/" + posixpath.normpath(str(text)).lstrip("/")


def _fault(text: object) -> str:
    if not isinstance(text, str) or not text:
        return "must be an absolute path"
    if "\0" in text or not _encodable(text):
        return "must not hold NUL or half a character"
    if not text.startswith("/") or ".." in text.split("/"):
        return "must be an absolute path without '..'"
    if len(text.encode()) > PATH_MAX_BYTES or _longest(text) > NAME_MAX_BYTES:
        return f"must be at most {PATH_MAX_BYTES} bytes, and {NAME_MAX_BYTES} for each segment"
    return ""


def _encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _longest(text: str) -> int:
    return max(len(segment.encode()) for segment in text.split("/"))


def within(path: str, root: str) -> bool:
    """Whether `path` is `root` or below it, segment by segment; both in normal form."""
    return path == root or path.startswith(root.rstrip("/") + "/")


def _within_any(path: str, roots: Iterable[str]) -> bool:
    return any(within(path, root) for root in roots)


# --- in the request: text only ---


def allow_source(path: str, access: Access, field: str = "path") -> None:
    """:raises PathNotAllowed: outside the project's roots, or in a place that is nobody's."""
    if not _allowed(path, access.roots, access.forbidden):
        raise PathNotAllowed(path=path, field=field)


def allow_target(path: str, access: Access, field: str = "path") -> None:
    """As `allow_source`; also refused is a target with a forbidden place below it."""
    allow_source(path, access, field)
    if _above_any(path, access.forbidden):
        raise PathNotAllowed(path=path, field=field)


def _allowed(path: str, roots: Iterable[str] | None, forbidden: Iterable[str]) -> bool:
    return (roots is None or _within_any(path, roots)) and not _within_any(path, forbidden)


def _above_any(path: str, places: Iterable[str]) -> bool:
    return any(within(place, path) for place in places)


# --- in the task: what the path leads to ---


def resolve_source(path: str, access: Access) -> Source:
    """Where to read. Forbidden places below it are left out rather than refused: the root of a host may be
    protected, the service's own files never are.

    :raises PathNotAllowed: it leads outside the project's roots, or into a forbidden place.
    """
    real, forbidden = _resolve(path, access)
    return Source(real, tuple(sorted(place for place in forbidden if within(place, real))))


def resolve_target(path: str, access: Access) -> str:
    """Where to write; it need not exist.

    :raises PathNotAllowed: it leads outside the project's roots, or into or above a forbidden place.
    """
    real, forbidden = _resolve(path, access)
    if _above_any(real, forbidden):
        raise PathNotAllowed(path=path)
    return real


def _resolve(path: str, access: Access) -> tuple[str, set[str]]:
    """Facts name the path as it was asked for, not where it leads."""
    real = os.path.realpath(path)
    if not _encodable(real):
        raise InvalidResource(field="path", reason="leads to a name that is not UTF-8")
    roots = None if access.roots is None else [os.path.realpath(root) for root in access.roots]
    forbidden = set(access.forbidden) | {os.path.realpath(place) for place in access.forbidden}
    if not _allowed(real, roots, forbidden):
        raise PathNotAllowed(path=path)
    return real, forbidden
