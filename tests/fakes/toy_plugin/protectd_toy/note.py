"""Notes: single files. All notes of a plan are copied first, so that they are of one moment, then saved."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from protectd.common.reports import RestoreOptions
from protectd.plugin.base import (
    Access,
    Assertion,
    Operation,
    ProtectablePlugin,
    ProtectContext,
    ProtectionPlugin,
    ResourceUnavailable,
    RestoreContext,
    Schema,
    VerifyContext,
)
from protectd.plugin.paths import allow_source, allow_target, plain_path, resolve_source, resolve_target
from protectd.plugin.saved import NO_PARAMETERS, VerifySaved, tags_of

TYPE = "note"
NAME = "note"

PATH: Schema = {
    "type": "object",
    "properties": {"path": {"type": "string", "minLength": 1}},
    "additionalProperties": False,
}
CONTAINS: Schema = {
    "type": "object",
    "properties": {
        "contains": {"type": "string", "minLength": 1, "title": "a restored note has to contain it"}
    },
    "additionalProperties": False,
}


class NoteProtectable(ProtectablePlugin):
    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        return cls()

    def resource_type(self) -> str:
        return TYPE

    def properties_schema(self) -> Schema:
        return PATH | {"required": ["path"]}

    def check_properties(self, properties: Mapping[str, Any], access: Access) -> dict[str, Any]:
        path = plain_path(properties.get("path"))
        allow_source(path, access)
        return {"path": path}

    def identity(self, properties: Mapping[str, Any]) -> str | None:
        return plain_path(properties.get("path"))


class NoteProtection(ProtectionPlugin):
    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        return cls()

    def supported_types(self) -> Sequence[str]:
        return (TYPE,)

    def options_schema(self, resource_type: str) -> Schema:
        return NO_PARAMETERS

    def restore_schema(self, resource_type: str) -> Schema:
        return PATH

    def saved_info_schema(self, resource_type: str) -> Schema:
        return PATH | {"required": ["path"]}

    def verify_schema(self, resource_type: str) -> Schema:
        return CONTAINS

    def check_restore_parameters(self, parameters: Mapping[str, Any], access: Access) -> None:
        if "path" in parameters:
            allow_target(plain_path(parameters["path"]), access)

    def protect(self, context: ProtectContext) -> Operation:
        return Protect(context)

    def restore(self, context: RestoreContext) -> Operation:
        return Restore(context)

    def verify(self, context: VerifyContext) -> Operation:
        return VerifySaved(context)

    def assertions(self, context: VerifyContext, path: str) -> Iterable[Assertion]:
        """What was saved is a directory with one file, the note."""
        wanted = context.parameters.get("contains")
        if wanted is not None:
            found = (Path(path) / NAME).read_text(errors="replace")
            yield Assertion("contains", wanted in found, f"{len(found)} characters were looked through")


class Copying(Operation):
    """An operation with a directory of its own for copies."""

    copies: Path | None = None

    def make(self) -> Path:
        self.copies = Path(tempfile.mkdtemp(prefix="note-"))
        return self.copies

    def complete(self) -> None:
        self.undo()

    def undo(self) -> None:
        if self.copies is not None:
            shutil.rmtree(self.copies, ignore_errors=True)


class Protect(Copying):
    def __init__(self, context: ProtectContext) -> None:
        self._context = context

    def prepare_finish(self) -> None:
        context = self._context
        source = resolve_source(path_of(context), context.access)
        try:
            shutil.copy2(source.path, self.make() / NAME)
        except OSError as error:
            raise ResourceUnavailable(resource=context.resource.key, reason=error.strerror) from error

    def main(self) -> None:
        context = self._context
        context.report = context.vault.save_tree(
            str(self.copies), tags=tags_of(context), progress=context.progress
        )
        context.saved_info["path"] = str(self.copies)


class Restore(Copying):
    def __init__(self, context: RestoreContext) -> None:
        self._context = context

    def main(self) -> None:
        context = self._context
        target = plain_path(context.parameters.get("path", path_of(context)))
        copies = self.make()
        context.report = context.vault.restore_tree(
            context.snapshot_id,
            context.tree_id,
            str(context.saved_info["path"]),
            str(copies / "restored"),
            RestoreOptions(trusted=context.request.is_admin),
            context.progress,
        )
        shutil.copy2(copies / "restored" / NAME, resolve_target(target, context.access))


def path_of(context: ProtectContext | RestoreContext) -> str:
    return plain_path((context.resource.extra_info or {}).get("path"))
