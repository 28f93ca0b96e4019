"""Scheduled operations and their occurrences."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import select, update

from protectd.common.errors import NotFound
from protectd.model.models import Occurrence, ScheduledOperation, Trigger
from protectd.model.repositories.base import Repository
from protectd.model.repositories.filters import contains, exact, has_text

LATELY = 20
"""Runs of an operation that may still be going on."""


class ScheduledOperationNotFound(NotFound):
    code = "scheduled_operation.not_found"
    message = "scheduled operation {id} is not there"


class ScheduledOperationRepository(Repository[ScheduledOperation]):
    model = ScheduledOperation
    not_found = ScheduledOperationNotFound
    sort_keys = ("id", "name", "created_at", "updated_at", "operation_type")
    filters = {
        "name": contains(ScheduledOperation.name),
        "operation_type": exact(ScheduledOperation.operation_type),
        "trigger_id": exact(ScheduledOperation.trigger_id),
        "operation_definition": has_text(ScheduledOperation.operation_definition),
        "plan_id": exact(ScheduledOperation.plan_id),
        "enabled": exact(ScheduledOperation.enabled),
    }

    def one_of_trigger(self, trigger_id: str) -> ScheduledOperation | None:
        """Some operation that the trigger is needed for."""
        return self._one(ScheduledOperation.trigger_id == trigger_id)

    def one_of_plan(self, plan_id: str) -> ScheduledOperation | None:
        """Some operation that the plan is needed for."""
        return self._one(ScheduledOperation.plan_id == plan_id)

    def of_plan(self, plan_id: str, operation_type: str) -> list[tuple[ScheduledOperation, Trigger]]:
        """All of a type that a plan has, each with its trigger, oldest first."""
        query = (
            select(ScheduledOperation, Trigger)
            .join(Trigger, Trigger.id == ScheduledOperation.trigger_id)
            .where(ScheduledOperation.plan_id == plan_id, ScheduledOperation.deleted.is_(False))
            .where(ScheduledOperation.operation_type == operation_type)
            .order_by(ScheduledOperation.created_at, ScheduledOperation.id)
        )
        return [(operation, trigger) for operation, trigger in self.session.execute(query)]

    def of_trigger(self, trigger_id: str) -> list[ScheduledOperation]:
        """All that hang on a trigger, those that rest too, in a steady order."""
        return self.all(
            select(ScheduledOperation)
            .where(ScheduledOperation.trigger_id == trigger_id, ScheduledOperation.deleted.is_(False))
            .order_by(ScheduledOperation.created_at, ScheduledOperation.id)
        )

    def enabled_of(self, *trigger_ids: str) -> list[ScheduledOperation]:
        """What is to be done when triggers fire, in a steady order."""
        if not trigger_ids:
            return []
        return self.all(
            select(ScheduledOperation)
            .where(ScheduledOperation.trigger_id.in_(trigger_ids), ScheduledOperation.deleted.is_(False))
            .where(ScheduledOperation.enabled.is_(True))
            .order_by(ScheduledOperation.created_at, ScheduledOperation.id)
        )

    def ever_of(self, trigger_id: str) -> list[ScheduledOperation]:
        """All that hang on a trigger, those that rest and deleted ones too."""
        return self.all(select(ScheduledOperation).where(ScheduledOperation.trigger_id == trigger_id))

    def _one(self, condition: object) -> ScheduledOperation | None:
        query = select(ScheduledOperation).where(condition, ScheduledOperation.deleted.is_(False))  # type: ignore[arg-type]
        return self.session.scalars(query.limit(1)).one_or_none()


class OccurrenceNotFound(NotFound):
    code = "occurrence.not_found"
    message = "occurrence {id} is not there"


class OccurrenceRepository(Repository[Occurrence]):
    """A list's newest are those that were expected last."""

    model = Occurrence
    not_found = OccurrenceNotFound
    sort_keys = ("id", "created_at", "expected_at")
    columns = {"created_at": "expected_at"}
    filters = {
        "scheduled_operation_id": exact(Occurrence.scheduled_operation_id),
        "outcome": exact(Occurrence.outcome),
    }

    def has_key(self, trigger_id: str, key: str) -> bool:
        """Whether some operation of a trigger, be it deleted by now, has an occurrence of this key."""
        operations = select(ScheduledOperation.id).where(ScheduledOperation.trigger_id == trigger_id)
        query = select(Occurrence.id).where(
            Occurrence.scheduled_operation_id.in_(operations), Occurrence.key == key
        )
        return self.session.scalar(query.limit(1)) is not None

    def known(self, operation_ids: Collection[str], keys: Collection[str]) -> Mapping[str, set[str]]:
        """Those of some keys that each of some operations has an occurrence of."""
        found: dict[str, set[str]] = {id: set() for id in operation_ids}
        if operation_ids and keys:
            query = select(Occurrence.scheduled_operation_id, Occurrence.key).where(
                Occurrence.scheduled_operation_id.in_(operation_ids), Occurrence.key.in_(keys)
            )
            for id, key in self.session.execute(query):
                found[id].add(key)
        return found

    def with_outcome(self, operation_ids: Collection[str], outcome: str, limit: int) -> list[Occurrence]:
        """Oldest first."""
        return self.all(
            select(Occurrence)
            .where(Occurrence.scheduled_operation_id.in_(operation_ids), Occurrence.outcome == outcome)
            .order_by(Occurrence.expected_at, Occurrence.id)
            .limit(limit)
        )

    def decide_all(self, operation_id: str, had: str, gets: str, reason: str, now: datetime) -> None:
        """Give all occurrences of an operation that have one outcome another one, in one statement."""
        self.session.flush()
        self.session.execute(
            update(Occurrence)
            .where(Occurrence.scheduled_operation_id == operation_id, Occurrence.outcome == had)
            .values(outcome=gets, reason=reason, decided_at=now),
            execution_options={"synchronize_session": False},
        )

    def made_lately(self, operation_id: str) -> list[Occurrence]:
        """The newest occurrences that have made something, newest first."""
        return self.all(
            select(Occurrence)
            .where(Occurrence.scheduled_operation_id == operation_id, Occurrence.entity_id.is_not(None))
            .order_by(Occurrence.expected_at.desc(), Occurrence.id.desc())
            .limit(LATELY)
        )
