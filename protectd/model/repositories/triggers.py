"""Triggers: which are due, and which are used."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm.attributes import flag_modified

from protectd.common.errors import NotFound
from protectd.common.metrics import Agenda
from protectd.model.base import UTCDateTime
from protectd.model.models import Trigger
from protectd.model.repositories.base import Repository
from protectd.model.repositories.filters import contains, exact, has_text


class TriggerNotFound(NotFound):
    code = "trigger.not_found"
    message = "trigger {id} is not there"


class Entry(NamedTuple):
    """When a trigger is to be looked at."""

    id: str
    project_id: str
    at: datetime


class TriggerRepository(Repository[Trigger]):
    """`now` is the caller's clock."""

    model = Trigger
    not_found = TriggerNotFound
    sort_keys = ("id", "name", "created_at", "updated_at", "type", "next_at")
    filters = {
        "name": contains(Trigger.name),
        "type": exact(Trigger.type),
        "properties": has_text(Trigger.properties),
    }

    def agenda(self, until: datetime, limit: int) -> list[Entry]:
        """Which triggers are to be looked at up to a moment; the longest due first."""
        query = (
            select(Trigger.id, Trigger.project_id, Trigger.next_at)
            .where(Trigger.deleted.is_(False), Trigger.next_at <= until)
            .order_by(Trigger.next_at)
            .limit(limit)
        )
        found = self.session.execute(query)
        return [Entry(id, project_id, at) for id, project_id, at in found if at is not None]

    def due(self, now: datetime) -> Agenda:
        """How many are due. One statement that reads no others."""
        query = select(func.count(), func.min(Trigger.next_at, type_=UTCDateTime()))
        query = query.where(Trigger.deleted.is_(False), Trigger.next_at <= now)
        count, oldest = self.session.execute(query).one()
        return Agenda(count, 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds()))

    def touch_not(self, trigger: Trigger) -> None:
        """What an engine notes in a trigger is no change of it: the moment of the last one stays."""
        flag_modified(trigger, "updated_at")

    def take_due(self, trigger_ids: Collection[str], now: datetime) -> list[Trigger]:
        """Those of some triggers that are due, locked, the longest due first. Of the others, another has one
        or has had it, or it is not due any more."""
        query = (
            select(Trigger)
            .where(Trigger.id.in_(trigger_ids), Trigger.deleted.is_(False), Trigger.next_at <= now)
            .order_by(Trigger.next_at, Trigger.id)
            .with_for_update(skip_locked=True)
        )
        return self.all(query)
