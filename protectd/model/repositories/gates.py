"""Gates: one at a time for whoever counts before acting."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.mysql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from protectd.model.base import MYSQL_FAMILY
from protectd.model.models.gates import Gate


class GateRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def lock(self, names: Iterable[str]) -> None:
        """Keep others out until the unit of work ends. Always in the same order, so that nobody waits in a
        circle. Where writers take turns anyway, there is nothing to do."""
        if self.session.get_bind().dialect.name == "sqlite":
            return
        for name in sorted(set(names)):
            if not self._locked(name):
                self._add(name)
                self._locked(name)

    def _locked(self, name: str) -> bool:
        return self.session.connection().execute(_LOCK, {"name": name}).first() is not None

    def _add(self, name: str) -> None:
        """Of several at once, one does. On MariaDB whoever finds that another was first would keep a shared
        lock on its row, and two of them would wait for each other to let go: there each takes it alone."""
        if self.session.get_bind().dialect.name in MYSQL_FAMILY:
            self.session.connection().execute(_ADD_OR_LOCK, {"name": name})
            return
        try:
            with self.session.begin_nested():
                self.session.add(Gate(name=name))
        except IntegrityError:
            return  # another was first


def project_gate(project_id: str) -> str:
    return f"project:{project_id}"


def provider_gate(provider_id: str) -> str:
    return f"provider:{provider_id}"


_ADD = insert(Gate)
_ADD_OR_LOCK = _ADD.on_duplicate_key_update(name=_ADD.inserted.name)
_LOCK = select(Gate.__table__.c.name).where(Gate.__table__.c.name == bindparam("name")).with_for_update()
