"""What retention says of the checkpoints that a plan has now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from protectd.domain.retention import OPERATION, PLAN, Candidate, RetentionRules, Verdict, plan
from protectd.domain.scheduled_operations import RETENTION_PROTECT
from protectd.domain.schedules import ScheduleLimits, schedule_of
from protectd.model.models import Checkpoint, Plan, ScheduledOperation, Trigger
from protectd.model.repositories.expiry import Expirable, Lot
from protectd.model.states import CheckpointStatus
from protectd.model.unit_of_work import UnitOfWork

DISABLED = "schedule_disabled"
PLAN_GONE = "plan_gone"
PLAN_HELD = "plan_held"
LAST_FAILED = "last_run_failed"


@dataclass(frozen=True)
class Review:
    """
    :ivar halted: why nothing may go, whatever the rules say; None: they decide.
    :ivar verdicts: newest first.
    """

    rules: RetentionRules
    zone: tzinfo
    halted: str | None
    verdicts: Sequence[Verdict]

    @property
    def removed(self) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if verdict.action == "remove"]


def review(
    uow: UnitOfWork, operation: ScheduledOperation, now: datetime, rules: RetentionRules | None = None
) -> Review:
    """:param rules: other ones than the operation's own, to see what they would do."""
    rules = rules or RetentionRules.parse(operation.operation_definition, "operation_definition")
    lot = lot_of(operation, rules)
    found = [candidate(row) for row in uow.expiry.candidates(lot)]
    of = uow.plans.find(operation.plan_id or "")
    halted = halted_by(operation, of) or failed(uow.expiry.newest_status(lot))
    zone = zone_of(uow.triggers.find(operation.trigger_id, include_deleted=True))
    return Review(rules, zone, halted, plan(found, rules, now, zone, halted))


def lot_of(operation: ScheduledOperation, rules: RetentionRules) -> Lot:
    """What retention looks at."""
    return Lot(
        plan_id=operation.plan_id or "",
        provider_id=operation.provider_id or "",
        operation_id=operation.id if rules.scope == OPERATION else None,
        by_hand=rules.scope == PLAN,
    )


def wanted_after(uow: UnitOfWork, checkpoint: Checkpoint) -> ScheduledOperation | None:
    """The operation whose retention is due when this checkpoint has gone well."""
    if checkpoint.scheduled_operation_id is None:
        return None
    operation = uow.scheduled_operations.find(checkpoint.scheduled_operation_id, checkpoint.project_id)
    return operation if operation and operation.operation_type == RETENTION_PROTECT else None


def zone_of(trigger: Trigger | None) -> tzinfo:
    """Whose days and months count."""
    properties = {} if trigger is None else trigger.properties
    if "time_zone" in properties:
        return ZoneInfo(properties["time_zone"])
    return schedule_of(properties, ScheduleLimits()).zone if "pattern" in properties else UTC


def halted_by(operation: ScheduledOperation, of: Plan | None) -> str | None:
    """:param of: its plan; None: that is gone."""
    if not operation.enabled or operation.deleted:
        return DISABLED
    if of is None:
        return PLAN_GONE
    return PLAN_HELD if of.held else None


def failed(newest_status: str | None) -> str | None:
    return LAST_FAILED if newest_status == CheckpointStatus.ERROR else None


def candidate(row: Expirable) -> Candidate:
    return Candidate(
        id=row.id,
        taken_at=row.started_at or row.created_at,
        partial=row.partial,
        verified=row.verified_at is not None,
        held=row.held_at is not None,
        pinned=row.pinned,
    )
