"""The secret stores that are configured, as clients know them, and which one seals for a project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from protectd.common.errors import NotFound
from protectd.domain.project_keys import StoreNotConfigured
from protectd.model.unit_of_work import Database, UnitOfWork


class StoresNotEnabled(NotFound):
    code = "secret_store.not_enabled"
    message = "there is one secret store, and nothing to choose"


class StoreNotFound(NotFound):
    code = "secret_store.not_found"
    message = "secret store {id} is not there"


class NoPreferredStore(NotFound):
    code = "secret_store.none_preferred"
    message = "project {project_id} prefers no secret store"


@dataclass(frozen=True, slots=True)
class KnownStore:
    """:ivar plugin: what seals. :ivar is_default: it does so for every project that prefers no other."""

    id: str
    name: str
    plugin: str
    is_default: bool
    created_at: datetime


class SecretStores:
    """Of one process: they change with its configuration only. No master key is needed here.

    :param plugins: by name; none where stores cannot be chosen.
    :param default: name of the one that seals for all.
    """

    def __init__(self, database: Database, plugins: Mapping[str, str], default: str) -> None:
        self._database = database
        self._plugins = plugins
        self._default = default

    def all(self) -> list[KnownStore]:
        """In the order of the configuration. :raises StoresNotEnabled: there is nothing to choose."""
        if not self._plugins:
            raise StoresNotEnabled
        return self._known

    @cached_property
    def _known(self) -> list[KnownStore]:
        """Who is first to know of a store gives it its id."""
        with self._database.read() as uow:
            rows = uow.secret_stores.all()
        missing = [name for name in self._plugins if name not in rows]
        if missing:
            with self._database.write() as uow:
                uow.secret_stores.add(missing)
            with self._database.read() as uow:
                rows = uow.secret_stores.all()
        return [
            KnownStore(rows[name].id, name, plugin, name == self._default, rows[name].created_at)
            for name, plugin in self._plugins.items()
        ]

    def get(self, id: str) -> KnownStore:
        """:raises StoreNotFound: there is none such, or not any more."""
        found = next((store for store in self.all() if store.id == id), None)
        if found is None:
            raise StoreNotFound(id=id)
        return found

    def default(self) -> KnownStore:
        return next(store for store in self.all() if store.is_default)

    def preferred(self, uow: UnitOfWork, project_id: str) -> KnownStore:
        """
        :raises NoPreferredStore: the default seals.
        :raises StoreNotConfigured: the one that the project prefers is not there any more.
        """
        stores, name = self.all(), uow.secret_stores.preferred(project_id)
        if name is None:
            raise NoPreferredStore(project_id=project_id)
        found = next((store for store in stores if store.name == name), None)
        if found is None:
            raise StoreNotConfigured(store=name)
        return found

    def prefer(self, uow: UnitOfWork, project_id: str, id: str) -> None:
        """What the project adds from now on is sealed there; what it has stays where it is.

        :raises StoreNotFound: there is none such.
        """
        uow.secret_stores.prefer(project_id, self.get(id).name)

    def forget_preferred(self, uow: UnitOfWork, project_id: str, id: str) -> None:
        """The default seals from now on, whichever store is named, as the contract has it.

        :raises StoreNotFound: none is called so. :raises NoPreferredStore: it did already.
        """
        self.get(id)
        if not uow.secret_stores.forget_preferred(project_id):
            raise NoPreferredStore(project_id=project_id)
