"""Parameters keyed by resource type or `type#id`: which are known, and what holds for one resource."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from protectd.common.errors import InvalidField
from protectd.common.fields import join, shown
from protectd.domain import validation

Parameters = Mapping[str, Mapping[str, Any]]


def check(
    parameters: Parameters,
    schemas: Mapping[str, validation.Schema],
    field: str,
    keys: Collection[str],
) -> None:
    """
    :param schemas: by resource type; other types are unknown.
    :param keys: `type#id` of the resources there are; parameters of any other would never be looked at.
    :raises InvalidField: names the first parameter that does not fit.
    """
    for key, values in parameters.items():
        where = join(field, shown(key))
        type, marked, _ = key.partition("#")
        if type not in schemas:
            raise InvalidField(field=where, reason="is no resource type of this provider")
        if marked and key not in keys:
            raise InvalidField(field=where, reason="names no resource that is here")
        validation.check(values, schemas[type], where)


def overlay(parameters: Parameters, type: str, id: str) -> dict[str, Any]:
    """What holds for one resource: its type's parameters, overlaid by its own."""
    return {**parameters.get(type, {}), **parameters.get(f"{type}#{id}", {})}


def place(parameters: Parameters, type: str, id: str, name: str | None) -> str:
    """Where in `parameters` stands what held for this resource: its parameter `name`, a dotted path, or, for
    None, all of them. One that is not given would stand with its type's."""
    own = f"{type}#{id}"
    if name is None:
        return own if own in parameters else type
    first = name.partition(".")[0]
    return join(own if first in parameters.get(own, {}) else type, name)
