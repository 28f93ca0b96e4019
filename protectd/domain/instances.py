"""What a project has to protect: registered by name, or made known by a plan that says where it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import IntegrityError

from protectd.common.fields import below
from protectd.common.ids import canonical_id, new_id
from protectd.domain import validation
from protectd.domain.providers import Protectables
from protectd.model.models import Instance
from protectd.model.unit_of_work import UnitOfWork
from protectd.plugin.base import Access, PathNotAllowed, ProtectablePlugin


@dataclass(frozen=True)
class Registry:
    """The instances of one project in one unit of work.

    :ivar host: where things are that say no host of their own.
    """

    uow: UnitOfWork
    protectables: Protectables
    project_id: str
    host: str

    def register(
        self,
        type: str,
        name: str,
        properties: Mapping[str, Any],
        accesses: Sequence[Access],
        field: str,
        id: str | None = None,
    ) -> Instance:
        """The instance with these properties; the one there is, if the project has it already.

        :param accesses: what one of them allows is allowed.
        :param id: wished for a new one; another is made where it is taken.
        :raises InvalidField: the properties do not fit; `field` is where they stand.
        :raises PathNotAllowed: outside what the project may use.
        """
        plugin = self.protectables.get(type)
        validation.check(properties, plugin.properties_schema(), field)
        with below(field):
            normal = check_properties(plugin, properties, accesses)
        identity = plugin.identity(normal)
        hashed = None if identity is None else hashlib.sha256(identity.encode()).hexdigest()
        return self._known(type, hashed) or self._add(type, name, normal, hashed, id)

    def _known(self, type: str, hashed: str | None) -> Instance | None:
        if hashed is None:
            return None
        return self.uow.instances.by_identity(self.project_id, type, self.host, hashed)

    def _add(
        self, type: str, name: str, properties: dict[str, Any], hashed: str | None, id: str | None
    ) -> Instance:
        """Another request may register the same thing at this moment: the first one counts."""
        instance = Instance(
            id=self._free(id),
            project_id=self.project_id,
            type=type,
            name=name,
            host=self.host,
            properties=properties,
            identity_hash=hashed,
        )
        try:
            with self.uow.session.begin_nested():
                return self.uow.instances.add(instance)
        except IntegrityError:
            known = self._known(type, hashed)
            if known is None:
                raise
            return known

    def _free(self, id: str | None) -> str:
        if id is None or self.uow.instances.find(canonical_id(id), include_deleted=True) is not None:
            return new_id()
        return canonical_id(id)


def check_properties(
    plugin: ProtectablePlugin, properties: Mapping[str, Any], accesses: Sequence[Access]
) -> dict[str, Any]:
    """Properties in normal form, if one of `accesses` allows them.

    :raises InvalidResource: the plug-in cannot use them; its field is relative to them.
    :raises PathNotAllowed: none of `accesses` allows them.
    """
    *others, last = accesses or (Access(),)
    for access in others:
        with suppress(PathNotAllowed):
            return plugin.check_properties(properties, access)
    return plugin.check_properties(properties, last)


def own_properties(plugin: ProtectablePlugin, extra_info: Any) -> dict[str, Any] | None:
    """The plug-in's properties among what a resource says of itself; None: too few to find it by."""
    schema = plugin.properties_schema()
    said = extra_info if isinstance(extra_info, Mapping) else {}
    if not set(schema.get("required", ())) <= said.keys():
        return None
    return {name: value for name, value in said.items() if name in schema.get("properties", {})}
