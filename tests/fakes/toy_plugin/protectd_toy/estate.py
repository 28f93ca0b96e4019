"""Estates: applications on hosts, with database servers and their databases, as a file describes them.

application > host > database_server > database, and host > directory: the last is somebody else's type. Who
knows whom differs on purpose: hosts find what is on them, databases declare their servers.
"""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from protectd.common.context import RequestContext
from protectd.common.reports import RestoreReport
from protectd.plugin.base import (
    Access,
    Operation,
    ProtectablePlugin,
    ProtectContext,
    ProtectionPlugin,
    Resource,
    RestoreContext,
    Schema,
    VerifyContext,
)
from protectd.plugin.paths import ABSOLUTE_PATH, allow_source, plain_path
from protectd.plugin.saved import NO_PARAMETERS, VerifySaved, tags_of

APPLICATION, HOST, SERVER, DATABASE = "application", "host", "database_server", "database"
TYPES = (APPLICATION, HOST, SERVER, DATABASE)
FILE = "description.json"

PROPERTIES: Schema = {
    "type": "object",
    "properties": {
        "file": ABSOLUTE_PATH | {"description": "what describes the estate"},
        "at": {"type": "array", "items": {"type": "string"}, "description": "names on the way to it"},
    },
    "required": ["file"],
    "additionalProperties": False,
}


class Kind(ProtectablePlugin):
    """:cvar type: the word for it; `below`: the member of its description that lists its children."""

    type: ClassVar[str]
    below: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        return cls()

    def resource_type(self) -> str:
        return self.type

    def dependent_types(self) -> Sequence[str]:
        return list(self.below)

    def properties_schema(self) -> Schema:
        return PROPERTIES

    def check_properties(self, properties: Mapping[str, Any], access: Access) -> dict[str, Any]:
        file = plain_path(properties.get("file"), "file")
        allow_source(file, access, "file")
        return {**properties, "file": file}

    def identity(self, properties: Mapping[str, Any]) -> str | None:
        return json.dumps([properties.get("file"), properties.get("at", [])])

    def dependents(self, resource: Resource) -> Iterable[Resource]:
        for type_, member in self.below.items():
            yield from children(resource, type_, member)


class Application(Kind):
    type = APPLICATION
    below = {HOST: "hosts"}

    def list_instances(self, context: RequestContext, parameters: Mapping[str, Any]) -> Iterable[Resource]:
        """Those of the file that the parameters name."""
        file = parameters.get("file")
        return () if file is None else [found(str(file), APPLICATION, [], str(read(str(file))["name"]))]


class Host(Kind):
    type = HOST
    below = {SERVER: "servers"}

    def dependent_types(self) -> Sequence[str]:
        return (SERVER, "directory")

    def dependents(self, resource: Resource) -> Iterable[Resource]:
        yield from super().dependents(resource)
        for path in described(resource).get("directories", ()):
            yield Resource(
                str(uuid.uuid5(uuid.NAMESPACE_URL, path)), "directory", Path(path).name, {"path": path}
            )


class Server(Kind):
    type = SERVER


class Database(Kind):
    type = DATABASE

    def parent_types(self) -> Sequence[str]:
        return (SERVER,)

    def dependents_of(self, parent: Resource) -> Iterable[Resource]:
        return children(parent, DATABASE, "databases")


def read(file: str) -> dict[str, Any]:
    return dict(json.loads(Path(file).read_text()))


def described(resource: Resource) -> dict[str, Any]:
    """The part of the file that is about a resource."""
    extra = resource.extra_info or {}
    part = read(str(extra["file"]))
    for name in extra.get("at", ()):
        part = next(each for each in members(part) if each["name"] == name)
    return part


def members(part: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    for member in ("hosts", "servers", "databases"):
        yield from part.get(member, ())


def children(parent: Resource, type_: str, member: str) -> Iterable[Resource]:
    extra = parent.extra_info or {}
    for each in described(parent).get(member, ()):
        yield found(str(extra["file"]), type_, [*extra.get("at", ()), each["name"]], each["name"])


def found(file: str, type_: str, at: Sequence[str], name: str) -> Resource:
    id = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([file, type_, *at]))
    return Resource(str(id), type_, name, {"file": file, "at": list(at)})


class EstateProtection(ProtectionPlugin):
    """Each thing saves its part of the description: one that is no more than what hangs below it saves what
    it was."""

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        return cls()

    def supported_types(self) -> Sequence[str]:
        return TYPES

    def options_schema(self, resource_type: str) -> Schema:
        return NO_PARAMETERS

    def restore_schema(self, resource_type: str) -> Schema:
        return NO_PARAMETERS

    def saved_info_schema(self, resource_type: str) -> Schema:
        return NO_PARAMETERS

    def verify_schema(self, resource_type: str) -> Schema:
        return NO_PARAMETERS

    def check_restore_parameters(self, parameters: Mapping[str, Any], access: Access) -> None:
        """There are none."""

    def protect(self, context: ProtectContext) -> Operation:
        return Protect(context)

    def restore(self, context: RestoreContext) -> Operation:
        return Restore(context)

    def verify(self, context: VerifyContext) -> Operation:
        return VerifySaved(context)


class Protect(Operation):
    def __init__(self, context: ProtectContext) -> None:
        self._context = context

    def main(self) -> None:
        context = self._context
        source = io.BytesIO(json.dumps(described(context.resource)).encode())
        context.report = context.vault.save_stream(
            source, FILE, tags=tags_of(context), progress=context.progress
        )


class Restore(Operation):
    """What was described is read back; nothing of the estate is changed."""

    def __init__(self, context: RestoreContext) -> None:
        self._context = context

    def main(self) -> None:
        context = self._context
        size = context.vault.restore_stream(
            context.snapshot_id, context.tree_id, FILE, lambda piece: None, context.progress
        )
        context.report = RestoreReport(files=1, directories=0, others=0, written_bytes=size)
