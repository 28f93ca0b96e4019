"""Directories, moved by the vault itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

from protectd.common.reports import RestoreOptions
from protectd.plugin.base import (
    Access,
    HookContext,
    InvalidResource,
    Operation,
    ProtectContext,
    ProtectionPlugin,
    RestoreContext,
    Schema,
    VerifyContext,
)
from protectd.plugin.paths import (
    ABSOLUTE_PATH,
    PATH_MAX_BYTES,
    Source,
    allow_target,
    plain_path,
    resolve_source,
    resolve_target,
    within,
)
from protectd.plugin.saved import NO_PARAMETERS, VerifySaved, tags_of

TYPE = "directory"
VERSION = 1
"""Of what a saved directory looks like. A greater one is read by later services only."""

_EXCLUDE: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": PATH_MAX_BYTES,
    "pattern": r"^(?!([\s\S]*[/:])?\.\.([/:]|$))[^\u0000]*$",
}

OPTIONS: Schema = {
    "type": "object",
    "title": "How directories are saved",
    "properties": {
        "excludes": {
            "title": "Left out, with all below: absolute paths, or paths relative to the directory",
            "description": "a list; or one text with ':' between the paths",
            "anyOf": [{"type": "array", "items": _EXCLUDE, "maxItems": 1000}, _EXCLUDE],
        }
    },
    "additionalProperties": False,
}

RESTORE: Schema = {
    "type": "object",
    "title": "Where directories are written",
    "properties": {
        "path": ABSOLUTE_PATH
        | {"description": "absolute path; without it each directory goes back to where it was"},
        "overwrite": {
            "type": ["boolean", "string"],
            "enum": [True, False, "true", "false", "True", "False"],
            "default": False,
            "description": "replace what is there; without it a target that is not empty is refused",
        },
        "staged": {
            "type": ["boolean", "string"],
            "enum": [True, False, "true", "false", "True", "False"],
            "default": True,
            "description": "touch nothing that is there before all that replaces it is written beside it, "
            "which takes room for both; without it files are replaced one by one",
        },
    },
    "additionalProperties": False,
}

SAVED_INFO: Schema = {
    "type": "object",
    "title": "What is kept of a saved directory",
    "properties": {
        "path": {"type": "string", "description": "where it was read: links are resolved"},
        "version": {"type": "integer", "description": "of the way it was saved in"},
    },
    "required": ["path"],
    "additionalProperties": False,
}


class DirectoryProtection(ProtectionPlugin):
    """Saves a tree, writes it back, and checks what lies in the vault."""

    restores_paths: ClassVar[bool] = True

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        return cls()

    def supported_types(self) -> Sequence[str]:
        return (TYPE,)

    def options_schema(self, resource_type: str) -> Schema:
        return OPTIONS

    def restore_schema(self, resource_type: str) -> Schema:
        return RESTORE

    def saved_info_schema(self, resource_type: str) -> Schema:
        return SAVED_INFO

    def verify_schema(self, resource_type: str) -> Schema:
        return NO_PARAMETERS

    def check_restore_parameters(self, parameters: Mapping[str, Any], access: Access) -> None:
        if "path" in parameters:
            allow_target(plain_path(parameters["path"]), access)

    def protect(self, context: ProtectContext) -> Operation:
        return Protect(context)

    def restore(self, context: RestoreContext) -> Operation:
        return Restore(context)

    def preview(self, context: RestoreContext) -> Operation:
        return Preview(context)

    def verify(self, context: VerifyContext) -> Operation:
        return VerifySaved(context)


class Protect(Operation):
    def __init__(self, context: ProtectContext) -> None:
        self._context = context

    def prepare_begin(self) -> None:
        """Refuse a place that is not allowed before anything is saved."""
        self._source()

    def main(self) -> None:
        context = self._context
        source = self._source()
        context.report = context.vault.save_tree(
            source.path,
            tags=tags_of(context),
            parent=context.previous_snapshot_id,
            excludes=[*source.excludes, *chosen_excludes(context, source)],
            progress=context.progress,
        )
        context.saved_info.update(path=source.path, version=VERSION)

    def _source(self) -> Source:
        return resolve_source(home_of(self._context), self._context.access)


class Restore(Operation):
    """Into `path` when the parameters have one, else in place: under the path it is known by."""

    def __init__(self, context: RestoreContext) -> None:
        self._context = context

    def main(self) -> None:
        """A target that was fit for an earlier attempt still is: what that left there is ours to replace."""
        context = self._context
        target = resolve_target(target_of(context), context.access)
        mark = f"{context.resource.id} began in {target}"
        context.report = context.vault.restore_tree(
            context.snapshot_id,
            context.tree_id,
            str(context.saved_info["path"]),
            target,
            options_of(context, begun=mark in context.marks),
            context.progress,
            begin=lambda: context.marks.add(mark),
        )


class Preview(Operation):
    """What `Restore` would do."""

    def __init__(self, context: RestoreContext) -> None:
        self._context = context

    def main(self) -> None:
        context = self._context
        told = context.vault.preview_tree(
            context.snapshot_id,
            context.tree_id,
            str(context.saved_info["path"]),
            resolve_target(target_of(context), context.access),
            options_of(context, begun=False),
            context.progress,
        )
        context.preview = replace(told, notes=(*told.notes, *version_notes(context.saved_info)))


def target_of(context: RestoreContext) -> str:
    """Where a restore writes, as text."""
    if "path" not in context.parameters:
        return home_of(context) if context.resource.extra_info else str(context.saved_info["path"])
    path = plain_path(context.parameters["path"])
    if context.target_name is None:
        return path
    return plain_path(f"{path}/{directory_name(context.target_name, context.resource.id)}")


def options_of(context: RestoreContext, *, begun: bool) -> RestoreOptions:
    overwrite = _flag(context, "overwrite", otherwise=False)
    return RestoreOptions(
        overwrite=overwrite or begun,
        staged=overwrite and _flag(context, "staged", otherwise=True),
        trusted=context.request.is_admin,
        paths=tuple(chosen_paths(context)),
    )


def _flag(context: RestoreContext, name: str, *, otherwise: bool) -> bool:
    return str(context.parameters.get(name, otherwise)).lower() == "true"


def chosen_paths(context: RestoreContext) -> Iterator[str]:
    """As they stand in the snapshot: there the directory has the path it was read by."""
    source = str(context.saved_info["path"])
    home = home_of(context) if context.resource.extra_info else source
    for path in context.paths:
        if within(path, home) and not within(path, source):
            path = plain_path(f"{source}/{path[len(home) :]}")
        yield path


def version_notes(saved_info: Mapping[str, Any]) -> Iterator[str]:
    """Whether it was saved by another version of this plug-in than would restore it."""
    saved = saved_info.get("version")
    if saved != VERSION:
        said = "a version that left no word" if saved is None else f"version {saved}"
        yield f"it was saved by {said} of the plug-in {TYPE}, and would be restored by version {VERSION}"


def home_of(context: HookContext) -> str:
    """The path that the resource is known by.

    :raises InvalidResource: it has none.
    """
    extra = context.resource.extra_info or {}
    if "path" not in extra:
        raise InvalidResource(field="path", reason=f"{context.resource.key} has no path")
    return plain_path(extra["path"])


def chosen_excludes(context: ProtectContext, source: Source) -> Iterator[str]:
    """The plan's excludes as absolute paths below the source. Others mean another directory of the plan."""
    home = home_of(context)
    chosen = context.parameters.get("excludes", ())
    for text in filter(None, chosen.split(":") if isinstance(chosen, str) else chosen):
        path = plain_path(text if text.startswith("/") else f"{source.path}/{text}", "excludes")
        if within(path, home) and home != source.path:
            path = plain_path(f"{source.path}/{path[len(home) :]}")
        if within(path, source.path) and path != source.path:
            yield path


def directory_name(name: str, otherwise: str) -> str:
    """A resource's name where it can name a directory, else its id: names are free text."""
    usable = name not in ("", ".", "..") and not set(name) & {"/", "\0"} and len(name.encode()) <= 255
    return name if usable else otherwise
