"""Parameters keyed by resource type or `type#id`: which are known, and what holds for one resource."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from protectd.common.errors import InvalidField
from protectd.common.fields import join, shown
from protectd.common.ids import is_uuid_like
from protectd.domain import validation

Parameters = Mapping[str, Mapping[str, Any]]


def check(
    parameters: Parameters,
    schemas: Mapping[str, validation.Schema],
    field: str,
    ids: Collection[str] | None = None,
) -> None:
    """
    :param schemas: by resource type; other types are unknown.
    :param ids: the resources there are; None: any id may be named.
    :raises InvalidField: names the first parameter that does not fit.
    """
    for key, values in parameters.items():
        where = join(field, shown(key))
        type, marked, id = key.partition("#")
        if type not in schemas:
            raise InvalidField(field=where, reason="is no resource type of this provider")
        if marked and not _names(id, ids):
            raise InvalidField(field=where, reason="names no resource that is here")
        validation.check(values, schemas[type], where)


def _names(id: str, ids: Collection[str] | None) -> bool:
    return is_uuid_like(id) if ids is None else id in ids


def overlay(parameters: Parameters, type: str, id: str) -> dict[str, Any]:
    """What holds for one resource: its type's parameters, overlaid by its own."""
    return {**parameters.get(type, {}), **parameters.get(f"{type}#{id}", {})}


def place(parameters: Parameters, type: str, id: str, name: str) -> str:
    """The key of `parameters` that gave this resource its parameter `name`."""
    own = f"{type}#{id}"
    return own if name in parameters.get(own, {}) else type
