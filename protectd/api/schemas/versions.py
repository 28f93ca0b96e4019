"""Answers of the paths that need no token."""

from __future__ import annotations

from protectd.api.schemas.common import OBJECT, STRING, either, shape, wrapped

VERSION = wrapped("version", OBJECT)
VERSIONS = either(
    shape({"versions": {"type": ["object", "array"]}}),
    shape({"build": STRING}),
)
DOCUMENT = OBJECT
