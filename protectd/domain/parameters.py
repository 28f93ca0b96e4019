"""Parameters keyed by resource type or `type#id`: which are known, and what holds for one resource."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from protectd.common.errors import InvalidField, NotFound
from protectd.common.fields import join, shown, told
from protectd.common.ids import is_uuid_like
from protectd.domain import validation

Parameters = Mapping[str, Mapping[str, Any]]

_NOBODYS = "names no resource that is here"


class NotInCheckpoint(NotFound):
    """The request is well formed, and names what the checkpoint that it is about does not hold."""

    code = "checkpoint.holds_no_such"
    message = "{field}: {reason}"


def check_held(
    parameters: Parameters, schemas: Mapping[str, validation.Schema], field: str, keys: Collection[str]
) -> None:
    """As `check`, where the resources are those of a checkpoint.

    :raises NotInCheckpoint: names the first parameter of a resource that is none of them.
    """
    for key in parameters:
        type, _, id = key.partition("#")
        if type in schemas and is_uuid_like(id) and key not in keys:
            raise NotInCheckpoint(field=join(field, shown(key)), reason=_NOBODYS)
    check(parameters, schemas, field, keys)


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
            raise InvalidField(field=where, reason=_NOBODYS)
        validation.check(values, _without_required(schemas[type]), where)
    check_whole(parameters, schemas, field, keys)


def check_whole(
    parameters: Parameters, schemas: Mapping[str, validation.Schema], field: str, keys: Collection[str]
) -> None:
    """What holds for each resource has all that its type's schema requires, whether it is said for the type
    or for the resource.

    :raises InvalidField: names what is missing.
    """
    for type, id in _different(parameters, keys):
        if type in schemas:
            with told(_placed(parameters, type, id, field)):
                validation.check(overlay(parameters, type, id), schemas[type])


def _placed(parameters: Parameters, type: str, id: str, field: str) -> Callable[[str | None], str]:
    return lambda name: join(field, place(parameters, type, id, name))


def _different(parameters: Parameters, keys: Collection[str]) -> list[tuple[str, str]]:
    """Resources for which something else holds than for others of their type, and one of the others."""
    found: dict[str, tuple[str, str]] = {}
    for key in sorted(keys):
        type, _, id = key.partition("#")
        found.setdefault(key if key in parameters else type, (type, id))
    return list(found.values())


def _without_required(schema: validation.Schema) -> validation.Schema:
    """Each place alone may lack what another one has."""
    return {name: value for name, value in schema.items() if name != "required"}


def overlay(
    parameters: Parameters, type: str, id: str, schema: validation.Schema | None = None
) -> dict[str, Any]:
    """What holds for one resource: its type's parameters, overlaid by its own.

    :param schema: its defaults stand where nothing was said.
    """
    properties = (schema or {}).get("properties", {})
    defaults = {name: each["default"] for name, each in properties.items() if "default" in each}
    return {**defaults, **parameters.get(type, {}), **parameters.get(f"{type}#{id}", {})}


def place(parameters: Parameters, type: str, id: str, name: str | None) -> str:
    """Where in `parameters` stands what held for this resource: its parameter `name`, a dotted path, or, for
    None, all of them. One that is not given would stand with its type's."""
    own = f"{type}#{id}"
    if name is None:
        return own if own in parameters else type
    first = name.partition(".")[0]
    return join(own if first in parameters.get(own, {}) else type, name)
