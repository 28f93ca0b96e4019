"""Secret stores by name, and which one a project prefers."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, cast

from sqlalchemy import CursorResult, delete, insert, select, update
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

    def _execute(self, statement: Any) -> int:
        result = self.session.execute(statement, execution_options={"synchronize_session": False})
        return cast("CursorResult[Any]", result).rowcount
