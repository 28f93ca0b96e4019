"""Daemons and their heartbeats."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from protectd.common.errors import NotFound
from protectd.model.models import Service
from protectd.model.states import swap


class ServiceNotFound(NotFound):
    code = "service.not_found"
    message = "service {id} is not there"


class ServiceRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def by_name(self, host: str, binary: str) -> Service | None:
        query = select(Service).where(Service.host == host, Service.binary == binary)
        return self.session.scalars(query).one_or_none()

    def register(
        self, host: str, binary: str, topic: str | None = None, *, version: str | None = None
    ) -> Service:
        """The row of this daemon; made at its first start, alive again at the next. Daemons of one name on
        one host share it, also when they start at the same moment.

        :param version: the newest version of messages that it understands.
        """
        found = self.by_name(host, binary) or self._add(host, binary)
        found.topic, found.deleted, found.deleted_at = topic, False, None
        found.rpc_available_version = version
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
        values = {"report_count": Service.report_count + 1, "updated_at": now}
        return swap(self.session, Service, service_id, [Service.deleted.is_(False)], values)

    def all(self, host: str | None = None, binary: str | None = None) -> Sequence[Service]:
        """Those that were not removed, in a steady order."""
        query = select(Service).where(Service.deleted.is_(False)).order_by(Service.binary, Service.host)
        for column, value in ((Service.host, host), (Service.binary, binary)):
            if value is not None:
                query = query.where(column == value)
        return self.session.scalars(query).all()

    def get(self, service_id: int) -> Service:
        """:raises ServiceNotFound: there is none, or it was removed."""
        query = select(Service).where(Service.id == service_id, Service.deleted.is_(False))
        found = self.session.scalars(query).one_or_none()
        if found is None:
            raise ServiceNotFound(id=service_id)
        return found

    def set_disabled(self, service: Service, disabled: bool, reason: str | None, now: datetime) -> None:
        """What an operator says of it. It is no sign of life."""
        self._set(service, disabled=disabled, disabled_reason=reason, modified_at=now)

    def remove(self, service: Service, now: datetime) -> None:
        """Soft: the row stays, and is the same when the daemon comes back."""
        self._set(service, deleted=True, deleted_at=now)

    def _set(self, service: Service, **values: Any) -> None:
        swap(self.session, Service, service.id, [], {"updated_at": Service.updated_at, **values})

    def common_version(self, topic: str, since: datetime) -> str | None:
        """The newest version of messages that every listener on `topic` that lives understands; None: there
        is no listener, or one that does not say."""
        living = (Service.topic == topic, Service.deleted.is_(False), Service.updated_at > since)
        told = list(self.session.scalars(select(Service.rpc_available_version).where(*living)))
        versions = [version for version in told if version is not None]
        return min(versions, key=number_of) if versions and len(versions) == len(told) else None

    def hold_at(self, service_id: int, version: str) -> None:
        """Note the version of messages that a process keeps to."""
        self.session.execute(
            update(Service)
            .where(Service.id == service_id)
            .values(rpc_current_version=version, updated_at=Service.updated_at)
        )


def number_of(version: str) -> tuple[int, ...]:
    """For comparing versions of messages."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())
