"""Plug-ins for types of resources whose answers a test decides."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from protectd.common.context import RequestContext
from protectd.plugin.base import Access, ProtectablePlugin, Resource, Schema


class Kind(ProtectablePlugin):
    """Of a type; what it does is set from outside."""

    def __init__(self, type_: str, parents: Sequence[str] = ()) -> None:
        self.type = type_
        self.parents = parents
        self.asked = 0
        self.found: Any = ()

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        return cls("kind")

    def resource_type(self) -> str:
        return self.type

    def parent_types(self) -> Sequence[str]:
        return self.parents

    def properties_schema(self) -> Schema:
        return {"type": "object"}

    def check_properties(self, properties: Mapping[str, Any], access: Access) -> dict[str, Any]:
        return dict(properties)

    def list_instances(self, context: RequestContext, parameters: Mapping[str, Any]) -> Iterable[Resource]:
        self.asked += 1
        return self._answer()

    def dependents_of(self, parent: Resource) -> Iterable[Resource]:
        return self._answer()

    def _answer(self) -> Iterable[Resource]:
        if isinstance(self.found, Exception):
            raise self.found
        if isinstance(self.found, threading.Event):
            self.found.wait(30)
            return ()
        return list(self.found)
