"""Restores: which checkpoint, where to, and whether the caller may write there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from protectd.common.errors import BadRequest, Conflict, InvalidField
from protectd.common.fields import about, join, shown, told
from protectd.common.ids import new_id
from protectd.domain import parameters
from protectd.domain.instances import check_properties, own_properties
from protectd.domain.parameters import NotInCheckpoint
from protectd.domain.providers import Protectables, Provider
from protectd.model.models import Checkpoint, CheckpointResource, Restore
from protectd.model.states import RunStatus
from protectd.plugin.base import Access, ProtectionPlugin
from protectd.plugin.paths import plain_path, within

PATH = "path"
ORIGINAL_TARGETS = ("", "original")
"""The words for the host that the data came from. There is no other target yet."""


class TypeNotRestored(BadRequest):
    """The provider has lost a plug-in since the checkpoint was made."""

    code = "restore.type_not_supported"
    message = "this provider restores no {type}"


class NamesClash(Conflict):
    code = "restore.names_clash"
    message = "{field}: {reason}"


class PathAmbiguous(Conflict):
    code = "restore.path_ambiguous"
    message = "{field}: must be absolute: it may lie in any of several resources"


def check_target(target: str | None, field: str) -> str:
    """The target as it is stored. :raises InvalidField: data cannot be brought there."""
    if (target or "") not in ORIGINAL_TARGETS:
        raise InvalidField(field=field, reason="cannot be restored to; leave it out for the host of the data")
    return target or ""


Chosen = dict[str, list[str]]
"""Paths by `type#id`; none: all of that resource."""

_LOST = "lies in none of the resources"
_UNNAMED = "names no resource that is here"
_UPWARDS = "must not hold '..': paths are those of what was saved, and nothing lies above it"


def chosen(provider: Provider, checkpoint: Checkpoint, body: Mapping[str, Any], field: str) -> Chosen | None:
    """What of a checkpoint a restore is to bring back; None: everything.

    :raises NotInCheckpoint: names the resource that the checkpoint does not have, or the path that lies in
        none of those that are wanted.
    :raises PathAmbiguous: there are several that it may lie in.
    :raises InvalidField: names a path in a resource whose plug-in restores whole ones only.
    """
    wanted, paths = body.get("resources"), body.get("paths")
    if wanted is None and paths is None:
        return None
    rows = _wanted(checkpoint.resources, wanted, join(field, "resources"))
    if paths is None:
        return {row.key: [] for row in rows}
    return _placed(provider, rows, paths, join(field, "paths"))


def _wanted(
    rows: Sequence[CheckpointResource], names: Sequence[str] | None, field: str
) -> list[CheckpointResource]:
    """By id or `type#id`, in the order of the checkpoint."""
    if names is None:
        return list(rows)
    known = {name for row in rows for name in (row.key, row.resource_id)}
    for number, name in enumerate(names):
        if name not in known:
            raise NotInCheckpoint(field=join(field, number), reason=_UNNAMED)
    return [row for row in rows if {row.key, row.resource_id} & set(names)]


def _placed(
    provider: Provider, rows: Sequence[CheckpointResource], paths: Sequence[str], field: str
) -> Chosen:
    """Each path with the resource that it lies in. A resource that has none is not wanted."""
    placed: Chosen = {}
    for number, text in enumerate(paths):
        where = join(field, number)
        path = _plain(text, where)
        owner = _owner(rows, path)
        if owner is None:
            if path.startswith("/"):
                raise NotInCheckpoint(field=where, reason=_LOST)
            raise PathAmbiguous(field=where)
        plugin = provider.protections.get(owner.resource_type)
        if plugin is None or not plugin.restores_paths:
            reason = f"cannot be chosen: a {owner.resource_type} is restored whole"
            raise InvalidField(field=where, reason=reason)
        placed.setdefault(owner.key, []).append(path)
    return placed


def _plain(text: str, field: str) -> str:
    """In normal form; relative ones stay relative.

    :raises InvalidField: nothing that was saved has such a path.
    """
    if ".." in text.split("/"):
        raise InvalidField(field=field, reason=_UPWARDS)
    return plain_path(text, field) if text.startswith("/") else plain_path(f"/{text}", field)[1:] or "."


def _owner(rows: Sequence[CheckpointResource], path: str) -> CheckpointResource | None:
    """Of several that lie in each other, the innermost."""
    if not path.startswith("/"):
        return rows[0] if len(rows) == 1 else None
    places = [(place, row) for row in rows for place in _places(row) if within(path, place)]
    return max(places, key=lambda each: len(each[0]))[1] if places else None


def _places(row: CheckpointResource) -> list[str]:
    """Where it is known to be, and where it was read."""
    known = row.extra_info.get(PATH) if isinstance(row.extra_info, dict) else None
    return [place for place in (known, row.source_path) if isinstance(place, str)]


class Destination:
    """Checks the parameters of a restore before anything is written. The task checks again.

    :param access: what the caller may touch through this provider.
    """

    def __init__(self, provider: Provider, protectables: Protectables, access: Access) -> None:
        self._provider = provider
        self._protectables = protectables
        self._access = access

    def check(
        self, resources: Sequence[CheckpointResource], wanted: parameters.Parameters, field: str
    ) -> None:
        """:raises InvalidField: names the parameter that does not fit.
        :raises NotInCheckpoint: or the one of a resource that is not among these.
        :raises NamesClash: they do not go below one path.
        :raises PathNotAllowed: a target, or the place a resource came from, is not the caller's to write."""
        keys = {resource.key for resource in resources}
        parameters.check_held(wanted, self._provider.restore_schemas, field, keys)
        check_names(resources, wanted, field)
        for resource in resources:
            self._check_one(resource, wanted, field)

    def _check_one(self, resource: CheckpointResource, wanted: parameters.Parameters, field: str) -> None:
        type, id = resource.resource_type, resource.resource_id
        own = parameters.overlay(wanted, type, id)
        with told(lambda name: join(field, parameters.place(wanted, type, id, name))):
            self._protection(type).check_restore_parameters(own, self._access)
        if PATH not in own:
            with about(join(field, parameters.place(wanted, type, id, PATH))):
                self._check_source(resource)

    def _protection(self, type: str) -> ProtectionPlugin:
        if type not in self._provider.protections:
            raise TypeNotRestored(type=type)
        return self._provider.protections[type]

    def _check_source(self, resource: CheckpointResource) -> None:
        """Without a path of its own it goes back to where it was, which must be allowed now."""
        if resource.resource_type not in self._protectables:
            return
        plugin = self._protectables.get(resource.resource_type)
        properties = own_properties(plugin, resource.extra_info)
        if properties is not None:
            check_properties(plugin, properties, [self._access])


def check_names(resources: Sequence[CheckpointResource], wanted: parameters.Parameters, field: str) -> None:
    """Several resources under one path of their type get a directory each, named like the resource.

    :raises NamesClash: two would share it, or a name cannot be a directory's.
    """
    for type, values in wanted.items():
        sharing = [
            resource.resource_name
            for resource in resources
            if resource.resource_type == type and PATH not in wanted.get(resource.key, {})
        ]
        if PATH in values and len(sharing) > 1:
            _check_shared(sharing, join(join(field, shown(type)), PATH))


def _check_shared(names: Sequence[str], field: str) -> None:
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise NamesClash(field=field, reason=f"would hold two resources named {shown(name)}")
    for name in names:
        if "/" in name or name in (".", "..") or len(name.encode()) > 255:
            raise NamesClash(field=field, reason=f"cannot hold a directory named {shown(name)}")


def new_restore(
    checkpoint: Checkpoint,
    wanted: Mapping[str, Any],
    target: str,
    chosen: Chosen | None,
    trusted: bool,
) -> Restore:
    """A PENDING restore. Credentials of `wanted` are not kept: there is no target that needs any.

    :param trusted: an administrator asks: set-id bits, devices and foreign owners come back too.
    """
    return Restore(
        id=new_id(),
        project_id=checkpoint.project_id,
        provider_id=checkpoint.provider_id,
        checkpoint_id=checkpoint.id,
        restore_target=target,
        parameters=wanted["parameters"],
        status=RunStatus.PENDING,
        trusted=trusted,
        chosen=chosen,
        dry_run=wanted.get("dry_run") or False,
    )
