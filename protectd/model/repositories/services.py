"""Daemons and their heartbeats."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from protectd.model.models import Service
from protectd.model.states import swap


class ServiceRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def by_name(self, host: str, binary: str) -> Service | None:
        query = select(Service).where(Service.host == host, Service.binary == binary)
        return self.session.scalars(query).one_or_none()

    def register(self, host: str, binary: str, topic: str | None = None) -> Service:
        """The row of this daemon; made at its first start, alive again at the next. Daemons of one name on
        one host share it, also when they start at the same moment."""
        found = self.by_name(host, binary) or self._add(host, binary)
        found.topic, found.deleted, found.deleted_at = topic, False, None
        self.session.flush()
        return found

    def _add(self, host: str, binary: str) -> Service:
        made = Service(host=host, binary=binary)
        try:
            with self.session.begin_nested():
                self.session.add(made)
        except IntegrityError:
            found = self.by_name(host, binary)
            if found is None:
                raise
            return found
        return made

    def heartbeat(self, service_id: int, now: datetime) -> bool:
        """Say that the daemon lives. False: its row is gone; register again."""
        statement = (
            update(Service)
            .where(Service.id == service_id, Service.deleted.is_(False))
            .values(report_count=Service.report_count + 1, updated_at=now)
        )
        return swap(self.session, Service, service_id, statement)

    def all(self) -> Sequence[Service]:
        """Living services in a steady order."""
        query = select(Service).where(Service.deleted.is_(False)).order_by(Service.binary, Service.host)
        return self.session.scalars(query).all()
