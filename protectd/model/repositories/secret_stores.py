"""Secret stores by name, and which one a project prefers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any, cast

from sqlalchemy import CursorResult, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from protectd.common.ids import new_id
from protectd.model.models import PreferredStore, SecretStoreRow


class SecretStoreRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def all(self) -> dict[str, SecretStoreRow]:
        """By name."""
        return {row.name: row for row in self.session.scalars(select(SecretStoreRow))}

    def add(self, names: Iterable[str]) -> None:
        """Of several that add the same name at once, one does."""
        for name in names:
            with suppress(IntegrityError), self.session.begin_nested():
                self.session.add(SecretStoreRow(id=new_id(), name=name))
                self.session.flush()

    def preferred(self, project_id: str) -> str | None:
        query = select(PreferredStore.store).where(PreferredStore.project_id == project_id)
        return self.session.scalar(query)

    def prefer(self, project_id: str, store: str) -> None:
        """From now on, instead of any other. Safe to repeat."""
        change = update(PreferredStore).where(PreferredStore.project_id == project_id).values(store=store)
        if self._execute(change):
            return
        try:
            with self.session.begin_nested():
                self.session.execute(insert(PreferredStore), [{"project_id": project_id, "store": store}])
        except IntegrityError:  # another was first
            self._execute(change)

    def forget_preferred(self, project_id: str) -> bool:
        """:returns: whether there was one."""
        return self._execute(delete(PreferredStore).where(PreferredStore.project_id == project_id)) > 0

    def preferring(self, store: str, limit: int) -> Sequence[str]:
        """Some of the projects that prefer a store."""
        query = select(PreferredStore.project_id).where(PreferredStore.store == store)
        return self.session.scalars(query.order_by(PreferredStore.project_id).limit(limit)).all()

    def count_preferring(self, store: str) -> int:
        query = select(func.count()).select_from(PreferredStore).where(PreferredStore.store == store)
        return self.session.scalar(query) or 0

    def prefer_instead(self, store: str, other: str, project_ids: Collection[str]) -> None:
        """Let projects that prefer one store prefer another one."""
        change = update(PreferredStore).where(PreferredStore.project_id.in_(project_ids))
        self._execute(change.where(PreferredStore.store == store).values(store=other))

    def _execute(self, statement: Any) -> int:
        result = self.session.execute(statement, execution_options={"synchronize_session": False})
        return cast("CursorResult[Any]", result).rowcount
