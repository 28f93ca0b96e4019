"""Directories of a host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from protectd.plugin.base import Access, ProtectablePlugin, Schema
from protectd.plugin.paths import ABSOLUTE_PATH, allow_source, plain_path

PROPERTIES: Schema = {
    "type": "object",
    "title": "A directory",
    "properties": {"path": ABSOLUTE_PATH | {"description": "absolute path on the host that has it"}},
    "required": ["path"],
    "additionalProperties": False,
}


class DirectoryProtectable(ProtectablePlugin):
    """A directory is known by its path; it has no dependents and is not discovered."""

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        return cls()

    def resource_type(self) -> str:
        return "directory"

    def properties_schema(self) -> Schema:
        return PROPERTIES

    def check_properties(self, properties: Mapping[str, Any], access: Access) -> dict[str, Any]:
        path = plain_path(properties.get("path"))
        allow_source(path, access)
        return {"path": path}

    def identity(self, properties: Mapping[str, Any]) -> str | None:
        path = properties.get("path")
        return None if path is None else plain_path(path)
