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
from protectd.model.repositories.instances import Known
from protectd.model.unit_of_work import UnitOfWork
from protectd.plugin.base import Access, PathNotAllowed, ProtectablePlugin

RIVALS = 8
"""Requests that may come first, one after the other, before the last attempt."""


@dataclass(frozen=True)
class Described:
    """An instance as a client describes it, checked.

    :ivar identity_hash: equal for what is the same thing on a host; None: it does not say.
    :ivar id: wished for it, should it be new.
    """

    type: str
    name: str
    properties: dict[str, Any]
    identity_hash: str | None
    id: str | None = None


@dataclass(frozen=True)
class Registry:
    """The instances of one project in one unit of work.

    :ivar host: where things are that say no host of their own.
    """

    uow: UnitOfWork
    protectables: Protectables
    project_id: str
    host: str

    def describe(
        self,
        type: str,
        name: str,
        properties: Mapping[str, Any],
        accesses: Sequence[Access],
        field: str,
        id: str | None = None,
    ) -> Described:
        """:param accesses: what one of them allows is allowed.
        :raises InvalidField: the properties do not fit; `field` is where they stand.
        :raises PathNotAllowed: outside what the project may use."""
        plugin = self.protectables.get(type)
        validation.check(properties, plugin.properties_schema(), field)
        with below(field):
            normal = check_properties(plugin, properties, accesses)
        identity = plugin.identity(normal)
        hashed = None if identity is None else hashlib.sha256(identity.encode()).hexdigest()
        return Described(type, name, normal, hashed, None if id is None else canonical_id(id))

    def register(self, described: Sequence[Described], *, brief: bool = False) -> list[Instance]:
        """An instance for each, in order: a picture of the one there is, if the project has it already, else
        a new one, with another id where the wished one is taken. The number of statements is always the same.

        Another request may register the same things at this moment: the first one counts.

        :param brief: pictures say what and where each is, and no more.
        """
        known = self._known(described, brief)
        if all((each.type, each.identity_hash) in known for each in described):
            return [known[each.type, each.identity_hash] for each in described]
        for _ in range(RIVALS):
            with suppress(IntegrityError), self.uow.session.begin_nested():
                return self._register(described, known)
            known = self._known(described, brief)
        return self._register(described, known)

    def _known(self, described: Sequence[Described], brief: bool) -> Known:
        hashes = {each.identity_hash for each in described if each.identity_hash is not None}
        return self.uow.instances.by_identities(self.project_id, self.host, hashes, brief=brief)

    def _register(self, described: Sequence[Described], known: Known) -> list[Instance]:
        """What is new is written in an order of its own: two requests that name the same things in different
        orders would else wait for each other."""
        taken = self.uow.instances.taken({each.id for each in described if each.id is not None})
        found: dict[int, Instance] = {}
        for number, each in sorted(enumerate(described), key=lambda pair: pair[1].identity_hash or ""):
            instance = known.get((each.type, each.identity_hash))
            found[number] = instance or self._add(each, known, taken)
        self.uow.flush()
        return [found[number] for number in range(len(described))]

    def _add(self, each: Described, known: Known, taken: set[str]) -> Instance:
        id = new_id() if each.id is None or each.id in taken else each.id
        instance = Instance(
            id=id,
            project_id=self.project_id,
            type=each.type,
            name=each.name,
            host=self.host,
            properties=each.properties,
            identity_hash=each.identity_hash,
        )
        taken.add(id)
        if each.identity_hash is not None:
            known[each.type, each.identity_hash] = instance
        self.uow.session.add(instance)
        return instance


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
