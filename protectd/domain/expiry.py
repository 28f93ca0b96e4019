"""What retention says of the checkpoints that a plan has now.

The same rules are asked of those that were made from the things themselves, and of the copies in each
provider, each for itself: no copy takes the place of what it was made of, nor goes because that goes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo

from protectd.common.errors import InvalidField
from protectd.domain.retention import OPERATION, PLAN, Candidate, RetentionRules, Verdict, plan
from protectd.domain.scheduled_operations import RETENTION_PROTECT
from protectd.domain.schedules import ScheduleLimits, schedule_of
from protectd.domain.zones import find_zone
from protectd.model.models import Checkpoint, Plan, ScheduledOperation, Trigger
from protectd.model.repositories.expiry import ENDED, Ended
from protectd.model.states import CheckpointStatus
from protectd.model.unit_of_work import UnitOfWork

UNREADABLE = "rules_not_understood"
DISABLED = "schedule_disabled"
PLAN_GONE = "plan_gone"
PLAN_HELD = "plan_held"
LAST_FAILED = "last_run_failed"
COPY_FAILED = "last_copy_failed"


@dataclass(frozen=True)
class Review:
    """
    :ivar halted: why nothing may go of what was not copied, whatever the rules say; None: they decide.
    :ivar verdicts: newest first.
    :ivar error: what of its definition or trigger this version does not understand, since another one has
        written it. Then there are no rules, and nothing goes.
    """

    rules: RetentionRules
    zone: tzinfo
    halted: str | None
    verdicts: Sequence[Verdict]
    error: InvalidField | None = None

    @property
    def removed(self) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if verdict.action == "remove"]


def review(
    uow: UnitOfWork, operation: ScheduledOperation, now: datetime, rules: RetentionRules | None = None
) -> Review:
    """:param rules: other ones than the operation's own, to see what they would do."""
    of = uow.plans.find(operation.plan_id or "")
    trigger = uow.triggers.find(operation.trigger_id, include_deleted=True)
    return review_of(operation, trigger, of, uow.expiry.ended_of(operation.plan_id or ""), now, rules)


def review_of(
    operation: ScheduledOperation,
    trigger: Trigger | None,
    of: Plan | None,
    ended: Sequence[Ended],
    now: datetime,
    rules: RetentionRules | None = None,
) -> Review:
    """:param of: its plan; None: that is gone. :param ended: all of that plan, the newest first."""
    rules, zone, error = _understood(operation, trigger, rules)
    stopped = halted_by(operation, of) if error is None else UNREADABLE
    own, copies = _lots(operation, rules, ended)
    halted = stopped or _failed(own, LAST_FAILED, now)
    verdicts = plan(_candidates(own), rules, now, zone, halted)
    gone = {each.candidate.id for each in verdicts if each.action == "remove"}
    for lot in copies:
        halts = stopped or _failed(lot, COPY_FAILED, now)
        verdicts += plan(_candidates(lot, gone), rules, now, zone, halts)
    verdicts.sort(key=lambda each: (each.candidate.taken_at, each.candidate.id), reverse=True)
    return Review(rules, zone, halted, verdicts, error)


def _understood(
    operation: ScheduledOperation, trigger: Trigger | None, rules: RetentionRules | None
) -> tuple[RetentionRules, tzinfo, InvalidField | None]:
    """What is to be kept, and whose days count. Without both, nothing can be told."""
    try:
        found = rules or RetentionRules.parse(operation.operation_definition, "operation_definition")
        return found, zone_of(trigger), None
    except InvalidField as error:
        return RetentionRules(), UTC, error


def _lots(
    operation: ScheduledOperation, rules: RetentionRules, ended: Iterable[Ended]
) -> tuple[list[Ended], Iterable[list[Ended]]]:
    """What it looks at: what was made in its provider, and the copies in each."""
    own: list[Ended] = []
    copies: dict[str, list[Ended]] = {}
    for each in ended:
        if not _is_seen(each, operation, rules):
            continue
        if each.source_id is not None:
            copies.setdefault(each.provider_id, []).append(each)
        elif each.provider_id == operation.provider_id:
            own.append(each)
    return own, copies.values()


def _is_seen(ended: Ended, operation: ScheduledOperation, rules: RetentionRules) -> bool:
    if rules.scope == OPERATION:
        return ended.operation_id == operation.id
    return rules.scope == PLAN or ended.operation_id is not None


def _failed(lot: Sequence[Ended], reason: str, now: datetime) -> str | None:
    """:param lot: the newest first. What lies in the future, by a clock that was wrong, was not the last."""
    newest = next((each.status for each in lot if each.status in ENDED and each.taken_at <= now), None)
    return reason if newest == CheckpointStatus.ERROR else None


def _candidates(lot: Iterable[Ended], gone: Collection[str] = ()) -> Iterator[Candidate]:
    """:param gone: what goes, so that its copies need not stay for its sake."""
    for each in map(candidate, lot):
        yield replace(each, mirrors=False) if each.source_id in gone else each


def wanted_after(uow: UnitOfWork, checkpoint: Checkpoint) -> ScheduledOperation | None:
    """The operation whose retention is due when this checkpoint has gone well."""
    if checkpoint.scheduled_operation_id is None:
        return None
    operation = uow.scheduled_operations.find(checkpoint.scheduled_operation_id, checkpoint.project_id)
    return operation if operation and operation.operation_type == RETENTION_PROTECT else None


def zone_of(trigger: Trigger | None) -> tzinfo:
    """Whose days and months count. :raises InvalidField: this version does not understand it."""
    properties = {} if trigger is None else trigger.properties
    if "time_zone" in properties:
        return find_zone(properties["time_zone"], "trigger.properties.time_zone")
    return schedule_of(properties, ScheduleLimits()).zone if "pattern" in properties else UTC


def halted_by(operation: ScheduledOperation, of: Plan | None) -> str | None:
    """:param of: its plan; None: that is gone."""
    if not operation.enabled or operation.deleted:
        return DISABLED
    if of is None:
        return PLAN_GONE
    return PLAN_HELD if of.held else None


def candidate(ended: Ended) -> Candidate:
    failed = ended.status != CheckpointStatus.AVAILABLE
    return Candidate(
        id=ended.id,
        taken_at=ended.taken_at,
        partial=ended.partial,
        verified=ended.verified_at is not None,
        failed=failed,
        damaged=ended.damaged,
        held=ended.held_at is not None,
        pinned=ended.pinned,
        mirrors=ended.source_status == CheckpointStatus.AVAILABLE and not failed,
        provider_id=ended.provider_id,
        source_id=ended.source_id,
    )
