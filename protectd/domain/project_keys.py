"""The keys of projects: made at first use, opened when needed, kept open for a short while."""

from __future__ import annotations

from collections.abc import Mapping

from protectd.common.clock import Clock, SystemClock
from protectd.common.errors import Unavailable
from protectd.common.ids import new_id
from protectd.common.memory import Memory
from protectd.model.models import ProjectKeyRow
from protectd.model.unit_of_work import UnitOfWork
from protectd.plugin.base import ProjectKey, SecretStorePlugin, WrappedKey

KEPT_S = 300.0
KEPT = 10_000


class StoreNotConfigured(Unavailable):
    """What it has sealed is not lost; what it should seal is sealed nowhere else."""

    code = "secret.store_not_configured"
    message = "secret store {store} is not configured here, or not any more"


class ProjectKeys:
    """Safe from many threads. An open key is forgotten `KEPT_S` seconds after it was opened.

    :param stores: by the name that stands in the rows.
    """

    def __init__(self, stores: Mapping[str, SecretStorePlugin], clock: Clock | None = None) -> None:
        self._stores = dict(stores)
        monotonic = (clock or SystemClock()).monotonic
        self._open: Memory[tuple[str, str, str], ProjectKey] = Memory(KEPT_S, KEPT, monotonic)
        self._sealing: Memory[tuple[str, str], str] = Memory(KEPT_S, KEPT, monotonic)

    def store(self, name: str) -> SecretStorePlugin:
        """:raises StoreNotConfigured: there is none such."""
        if name not in self._stores:
            raise StoreNotConfigured(store=name)
        return self._stores[name]

    def current(self, uow: UnitOfWork, project_id: str, store: str) -> tuple[str, ProjectKey]:
        """The key that seals what a project adds, and its id; made now if the project has none yet.

        :raises StoreNotConfigured: there is no such store.
        """
        self.store(store)
        row = uow.project_keys.current(project_id, store) or self._make(uow, project_id, store)
        self._sealing.note((store, project_id), row.id)
        return row.id, self._opened(row, project_id)

    def last(self, project_id: str, store: str) -> tuple[str, ProjectKey] | None:
        """The one that sealed last here. It may be another's turn by now, and its row may never have come to
        be: whoever seals with it lets the database tell.
        """
        key_id = self._sealing.recall((store, project_id))
        key = None if key_id is None else self._open.recall((store, project_id, key_id))
        return None if key_id is None or key is None else (key_id, key)

    def of(self, uow: UnitOfWork, key_id: str, project_id: str, store: str) -> ProjectKey:
        """The key that a secret of a project was sealed with: a project's, or a master key itself.

        :raises SecretDamaged: it does not open. :raises StoreNotConfigured: there is no such store.
        """
        kept = self._open.recall((store, project_id, key_id))
        if kept is not None:
            return kept
        row = uow.project_keys.find(key_id)
        if row is None:
            direct = WrappedKey(key_id, b"")
            return self.store(store).unwrap(direct, key_id=key_id, project_id=project_id)
        return self._opened(row, project_id)

    def _make(self, uow: UnitOfWork, project_id: str, store: str) -> ProjectKeyRow:
        """Of several that make a first key at once one does, and all use it. Whoever drops a master key
        counts what is sealed here, or was done before it."""
        uow.project_keys.lock_master_keys()
        return uow.project_keys.current(project_id, store) or self._add(uow, project_id, store)

    def _add(self, uow: UnitOfWork, project_id: str, store: str) -> ProjectKeyRow:
        key_id = new_id()
        made = self.store(store).new_key(key_id=key_id, project_id=project_id)
        return uow.project_keys.add(
            ProjectKeyRow(
                id=key_id,
                project_id=project_id,
                store=store,
                generation=1,
                master_key_id=made.master_key_id,
                wrapped=made.wrapped,
            )
        )

    def _opened(self, row: ProjectKeyRow, project_id: str) -> ProjectKey:
        """Kept by its id: a row that never came to be is asked for by nobody, and wrapped anew the key is
        still the same. It opens for the project of the secret that asks, whatever its own row says."""
        place = (row.store, project_id, row.id)
        kept = self._open.recall(place)
        if kept is None:
            wrapped = WrappedKey(row.master_key_id, bytes(row.wrapped))
            kept = self.store(row.store).unwrap(wrapped, key_id=row.id, project_id=project_id)
            self._open.note(place, kept)
        return kept
