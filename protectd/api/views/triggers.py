"""A trigger: values of its properties are strings, as the contract has them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from protectd.api.views.common import moment
from protectd.domain.schedules import ScheduleLimits, schedule_of
from protectd.domain.triggers import TIME
from protectd.model.models import Trigger


def brief(trigger: Trigger) -> dict[str, Any]:
    """One entry of a list."""
    return {
        "id": trigger.id,
        "name": trigger.name,
        "type": trigger.type,
        "properties": {name: str(value) for name, value in trigger.properties.items()},
        "project_id": trigger.project_id,
        "next_fire_time": moment(trigger.expected_at),
        "created_at": moment(trigger.created_at),
        "updated_at": moment(trigger.updated_at),
    }


def detail(
    trigger: Trigger, now: datetime, limits: ScheduleLimits, secret: str | None = None
) -> dict[str, Any]:
    """
    With the next ten times, or the path that takes events.

    :param secret: what events are signed with: shown once.
    """
    shown = brief(trigger)
    if trigger.type == TIME:
        shown["next_fire_times"] = [moment(at) for at in _upcoming(trigger, now, limits)]
    else:
        shown["fire_path"] = f"/v1/triggers/{trigger.id}/fire"
    return shown if secret is None else shown | {"secret": secret}


def event(trigger: Trigger, key: str) -> dict[str, Any]:
    """The same for the same event, however often it comes."""
    return {"id": key, "trigger_id": trigger.id}


def _upcoming(trigger: Trigger, now: datetime, limits: ScheduleLimits) -> Sequence[datetime]:
    return schedule_of(trigger.properties, limits).upcoming(now)
