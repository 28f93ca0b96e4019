"""What retention says of all checkpoints of a plan: each of its scheduled operations has rules of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from protectd.domain.expiry import Review, candidate, review_of
from protectd.domain.retention import Action, Candidate, Verdict
from protectd.domain.scheduled_operations import RETENTION_PROTECT
from protectd.model.models import Plan, ScheduledOperation
from protectd.model.unit_of_work import UnitOfWork

NOBODY = "no_operation"
"""Why a checkpoint stays that no operation looks at."""


@dataclass(frozen=True)
class Judged:
    """A checkpoint, and what each operation says that looks at it, by the operation's id. It goes where one
    of them lets it go."""

    candidate: Candidate
    verdicts: Sequence[tuple[str, Verdict]]

    @property
    def action(self) -> Action:
        return "remove" if any(each.action == "remove" for _, each in self.verdicts) else "keep"

    @property
    def reasons(self) -> list[str]:
        """Those of the operations that say what comes of it."""
        found = [each.reasons for _, each in self.verdicts if each.action == self.action] or [(NOBODY,)]
        return list(dict.fromkeys(reason for reasons in found for reason in reasons))


@dataclass(frozen=True)
class PlanReview:
    """:ivar checkpoints: newest first."""

    operations: Sequence[tuple[ScheduledOperation, Review]]
    checkpoints: Sequence[Judged]


def review_plan(uow: UnitOfWork, of: Plan, now: datetime) -> PlanReview:
    """As `expiry.review` of each operation, in as many statements for many as for one."""
    ended = uow.expiry.ended_of(of.id)
    operations = [
        (operation, review_of(operation, trigger, of, ended, now))
        for operation, trigger in uow.scheduled_operations.of_plan(of.id, RETENTION_PROTECT)
    ]
    verdicts = _verdicts(operations)
    found = map(candidate, ended)
    return PlanReview(operations, [Judged(each, verdicts.get(each.id, ())) for each in found])


def _verdicts(
    operations: Sequence[tuple[ScheduledOperation, Review]],
) -> dict[str, list[tuple[str, Verdict]]]:
    """By the checkpoint that they are about."""
    found: dict[str, list[tuple[str, Verdict]]] = {}
    for operation, review in operations:
        for verdict in review.verdicts:
            found.setdefault(verdict.candidate.id, []).append((operation.id, verdict))
    return found
