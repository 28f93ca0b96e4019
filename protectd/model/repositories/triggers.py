"""Triggers: which are due, and which are used."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm.attributes import flag_modified

from protectd.common.errors import NotFound
from protectd.model.models import Trigger
from protectd.model.repositories.base import Repository
from protectd.model.repositories.filters import contains, exact, has_text


class TriggerNotFound(NotFound):
    code = "trigger.not_found"
    message = "trigger {id} is not there"


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

    def agenda(self, until: datetime, limit: int) -> list[tuple[str, datetime]]:
        """Which triggers are to be looked at up to a moment, and when; the longest due first."""
        query = (
            select(Trigger.id, Trigger.next_at)
            .where(Trigger.deleted.is_(False), Trigger.next_at <= until)
            .order_by(Trigger.next_at)
            .limit(limit)
        )
        return [(id, at) for id, at in self.session.execute(query) if at is not None]

    def touch_not(self, trigger: Trigger) -> None:
        """What an engine notes in a trigger is no change of it: the moment of the last one stays."""
        flag_modified(trigger, "updated_at")

    def take_due(self, trigger_id: str, now: datetime) -> Trigger | None:
        """A trigger that is due, locked. None: another has it or has had it, or it is not due any more."""
        query = (
            select(Trigger)
            .where(Trigger.id == trigger_id, Trigger.deleted.is_(False), Trigger.next_at <= now)
            .with_for_update(skip_locked=True)
        )
        return self.session.scalars(query).one_or_none()
