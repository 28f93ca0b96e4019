"""Restores: which checkpoint, where to, and whether the caller may write there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from protectd.common.errors import BadRequest, InvalidField
from protectd.common.fields import about, join, shown, told
from protectd.common.ids import new_id
from protectd.domain import parameters
from protectd.domain.instances import check_properties, own_properties
from protectd.domain.providers import Protectables, Provider
from protectd.model.models import Checkpoint, CheckpointResource, Restore
from protectd.model.states import RunStatus
from protectd.plugin.base import Access, ProtectionPlugin

PATH = "path"
ORIGINAL_TARGETS = ("", "original")
"""The words for the host that the data came from. There is no other target yet."""


class TypeNotRestored(BadRequest):
    """The provider has lost a plug-in since the checkpoint was made."""

    code = "restore.type_not_supported"
    message = "this provider restores no {type}"


def check_target(target: str | None, field: str) -> str:
    """The target as it is stored. :raises InvalidField: data cannot be brought there."""
    if (target or "") not in ORIGINAL_TARGETS:
        raise InvalidField(field=field, reason="cannot be restored to; leave it out for the host of the data")
    return target or ""


class Destination:
    """Checks the parameters of a restore before anything is written. The task checks again.

    :param access: what the caller may touch through this provider.
    """

    def __init__(self, provider: Provider, protectables: Protectables, access: Access) -> None:
        self._provider = provider
        self._protectables = protectables
        self._access = access

    def check(self, checkpoint: Checkpoint, wanted: parameters.Parameters, field: str) -> None:
        """:raises InvalidField: names the parameter that does not fit.
        :raises PathNotAllowed: a target, or the place a resource came from, is not the caller's to write."""
        keys = {resource.key for resource in checkpoint.resources}
        parameters.check(wanted, self._provider.restore_schemas, field, keys)
        check_names(checkpoint.resources, wanted, field)
        for resource in checkpoint.resources:
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

    :raises InvalidField: two would share it, or a name cannot be a directory's.
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
        raise InvalidField(field=field, reason=f"would hold two resources named {shown(name)}")
    for name in names:
        if "/" in name or name in (".", "..") or len(name.encode()) > 255:
            raise InvalidField(field=field, reason=f"cannot hold a directory named {shown(name)}")


def new_restore(checkpoint: Checkpoint, wanted: Mapping[str, Any], target: str, trusted: bool) -> Restore:
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
    )
