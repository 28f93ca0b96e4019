"""Errors that only requests can cause."""

from __future__ import annotations

from protectd.common.errors import InvalidField, NotFound


class NoSuchPath(NotFound):
    code = "path.not_found"
    place = "path"
    message = "there is nothing at this path"


class MalformedPath(InvalidField):
    code = "path.malformed"


class MalformedBody(InvalidField):
    """The body is no JSON, or JSON that readers disagree about."""

    code = "body.malformed"


class MalformedHeader(InvalidField):
    code = "header.malformed"
