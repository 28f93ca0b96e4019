"""Triggers: what may be created, changed and deleted, and the secrets that events are signed with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from protectd.common.errors import Conflict, InvalidField
from protectd.common.fields import below, join, shown
from protectd.common.ids import new_id
from protectd.domain import events
from protectd.domain.occurrences import SKIPPED, WAITING
from protectd.domain.schedules import PROPERTIES, Schedule, ScheduleLimits, check, schedule_of
from protectd.domain.secrets import Secrets
from protectd.model.models import Occurrence, Trigger
from protectd.model.repositories.secrets import SecretNotFound
from protectd.model.unit_of_work import UnitOfWork

TIME = "time"
EVENT = "event"
TYPES = (TIME, EVENT)

CONSUMER = ("triggers", "trigger")


class TriggerInUse(Conflict):
    code = "trigger.in_use"
    message = "trigger {trigger_id} is used by scheduled operation {scheduled_operation_id}"


class TriggerHasNoTimes(Conflict):
    code = "trigger.has_no_times"
    message = "trigger {trigger_id} is fired by events: it has no properties"


class TriggerTakesNoEvents(Conflict):
    code = "trigger.takes_no_events"
    message = "trigger {trigger_id} is fired by the time: it has no secret"


class EventSecrets:
    """Secrets of triggers, among those of the service's own project: no tenant can read or delete one."""

    def __init__(self, secrets: Secrets, project_id: str) -> None:
        self._secrets = secrets
        self._project_id = project_id

    def give(self, uow: UnitOfWork, trigger: Trigger) -> str:
        """A new one; the former counts no more. It is not to be had again."""
        self.take(uow, trigger)
        text = events.new_secret()
        name = f"trigger {trigger.id}"
        secret = self._secrets.add(uow, self._project_id, text.encode(), name=name, secret_type="passphrase")
        self._secrets.add_consumer(uow, secret.id, *CONSUMER, trigger.id)
        trigger.secret_id = secret.id
        return text

    def rotate(self, uow: UnitOfWork, trigger: Trigger, field: str) -> str:
        """As `give`, for a trigger that has one.

        :raises TriggerTakesNoEvents: it is one of times; `field` is where the wish stands.
        """
        if trigger.type != EVENT:
            raise TriggerTakesNoEvents(trigger_id=trigger.id, field=field)
        return self.give(uow, trigger)

    def take(self, uow: UnitOfWork, trigger: Trigger) -> None:
        """Forget the one it has. Safe to repeat."""
        if trigger.secret_id is not None:
            self._secrets.remove_consumer(uow, trigger.secret_id, *CONSUMER, trigger.id)
            self._secrets.delete(uow, trigger.secret_id, self._project_id)
            trigger.secret_id = None

    def read(self, uow: UnitOfWork, trigger: Trigger | None) -> str:
        """Of no trigger, or one that takes no events, a new one that nobody knows."""
        if trigger is None or trigger.secret_id is None:
            return events.new_secret()
        try:
            return self._secrets.open(uow, trigger.secret_id, self._project_id).decode()
        except SecretNotFound:
            return events.new_secret()


def create(
    uow: UnitOfWork,
    project_id: str,
    wanted: Mapping[str, Any],
    now: datetime,
    limits: ScheduleLimits,
    field: str,
) -> Trigger:
    """A trigger that fires from now on, added to the unit of work. One of events has no secret yet.

    :param wanted: fits the schema of a trigger; `field` is where it stands.
    """
    type = wanted["type"]
    if type not in TYPES:
        raise InvalidField(field=join(field, "type"), reason="must be one of " + ", ".join(TYPES))
    trigger = Trigger(id=new_id(), name=wanted["name"], project_id=project_id, type=type, properties={})
    _set(trigger, wanted.get("properties") or {}, now, limits, join(field, "properties"))
    return uow.triggers.add(trigger)


def update(
    trigger: Trigger, wanted: Mapping[str, Any], now: datetime, limits: ScheduleLimits, field: str
) -> None:
    """Change what is given; what does not fit leaves all as it was. What was due and not looked at yet is
    not expected any more where the properties change."""
    if wanted.get("properties"):
        if trigger.type == EVENT:
            raise TriggerHasNoTimes(trigger_id=trigger.id, field=join(field, "properties"))
        _set(trigger, wanted["properties"], now, limits, join(field, "properties"))
    trigger.name = wanted.get("name", trigger.name)


def delete(uow: UnitOfWork, trigger: Trigger) -> None:
    """The trigger's row is locked by the caller, as it is where an operation is hung to it.

    :raises TriggerInUse: an operation needs it.
    """
    user = uow.scheduled_operations.one_of_trigger(trigger.id)
    if user is not None:
        raise TriggerInUse(trigger_id=trigger.id, scheduled_operation_id=user.id)
    uow.triggers.delete(trigger)


def _set(
    trigger: Trigger, given: Mapping[str, Any], now: datetime, limits: ScheduleLimits, field: str
) -> None:
    known = PROPERTIES if trigger.type == TIME else ()
    for name in given:
        if name not in known:
            raise InvalidField(field=join(field, shown(name)), reason="is not a known field")
    if trigger.type == EVENT:
        return
    with below(field):
        trigger.properties = check(given, now, limits, trigger.properties)
    schedule = schedule_of(trigger.properties, limits)
    expect(trigger, schedule, schedule.next_after(now))


def expect(trigger: Trigger, schedule: Schedule, expected: datetime | None) -> None:
    """Let it fire next at an expected time; None: never again."""
    trigger.expected_at = expected
    trigger.next_at = None if expected is None else schedule.due(trigger.id, expected)


# --- events ---

RESTED = "it was disabled when the event came"


def receive(uow: UnitOfWork, trigger: Trigger, signature: str, now: datetime) -> None:
    """Note an event for every operation of a trigger, for an engine to see to; for one that rests it is
    decided at once. The same one that comes again changes nothing, not even for an operation that was made or
    enabled since. Where nothing hangs on the trigger, nothing is noted. The trigger's row is locked by the
    caller."""
    key = events.key_of(signature)
    if uow.occurrences.has_key(trigger.id, key):
        return
    for operation in uow.scheduled_operations.of_trigger(trigger.id):
        uow.occurrences.add(
            Occurrence(
                id=new_id(),
                project_id=operation.project_id,
                scheduled_operation_id=operation.id,
                trigger_id=trigger.id,
                key=key,
                expected_at=now,
                decided_at=now,
                outcome=WAITING if operation.enabled else SKIPPED,
                reason=None if operation.enabled else RESTED,
            )
        )
        if operation.enabled:
            trigger.next_at = trigger.next_at or now
            uow.triggers.touch_not(trigger)
    uow.flush()
