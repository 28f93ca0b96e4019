"""Checkpoints: when one may be made, used and deleted."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from protectd.common.errors import BadRequest, Conflict, InvalidField
from protectd.common.fields import about, join
from protectd.domain import quota
from protectd.domain.resources import Resolver
from protectd.model.models import Checkpoint, CheckpointResource, Plan
from protectd.model.repositories.checkpoints import CheckpointNotFound
from protectd.model.states import CheckpointStatus, ResourceStatus, move
from protectd.model.unit_of_work import UnitOfWork

RESET_CODE = "checkpoint.reset"
BY_REQUEST = "set to error by a request"
DELETABLE = (CheckpointStatus.AVAILABLE, CheckpointStatus.ERROR, CheckpointStatus.ERROR_DELETING)


class PlanOfOtherProvider(BadRequest):
    code = "plan.other_provider"
    message = "plan {plan_id} belongs to provider {provider_id}"


class CheckpointNotAvailable(Conflict):
    code = "checkpoint.not_available"
    message = "checkpoint {checkpoint_id} is {state}; it must be available"


class CheckpointBusy(Conflict):
    code = "checkpoint.busy"
    message = "checkpoint {checkpoint_id} is {state}; it must be available or in error"


class CheckpointHeld(Conflict):
    code = "checkpoint.held"
    message = "checkpoint {checkpoint_id} is under a hold: {reason}"


class CheckpointPinned(Conflict):
    code = "checkpoint.pinned"
    message = "checkpoint {checkpoint_id} is {state}, and a restore, verification or copy of it runs"


class ResetRefused(BadRequest):
    """The contract tells 404, 403 and 400 apart here."""

    code = "checkpoint.reset_refused"
    message = "checkpoint {checkpoint_id} is {state}: {reason}"


def create(
    resolver: Resolver,
    plan: Plan,
    provider_id: str,
    extra_info: dict[str, Any] | None,
    scheduled_operation_id: str | None = None,
) -> Checkpoint:
    """A PENDING checkpoint of a plan as it is now, written: what is set in it later is not. The plan's row is
    locked by the caller.

    :param scheduled_operation_id: what asks for it; None: a request.
    :raises PlanOfOtherProvider: `provider_id` is not the plan's.
    """
    if plan.provider_id != provider_id:
        raise PlanOfOtherProvider(plan_id=plan.id, provider_id=plan.provider_id)
    checkpoint = Checkpoint.of(plan, extra_info or {"created_by": "manual"})
    checkpoint.scheduled_operation_id = scheduled_operation_id
    resolver.prepare(checkpoint)
    return resolver.uow.checkpoints.insert(checkpoint)


def start_delete(uow: UnitOfWork, checkpoint: Checkpoint) -> None:
    """Move to deleting. The checkpoint's row is locked by the caller.

    :raises CheckpointBusy: it is being made or deleted.
    :raises CheckpointHeld: it is to stay until an administrator lifts its hold.
    :raises CheckpointPinned: a restore, verification or copy needs it.
    """
    if checkpoint.status == CheckpointStatus.DELETED:
        raise CheckpointNotFound(id=checkpoint.id)
    if checkpoint.status not in DELETABLE:
        raise CheckpointBusy(checkpoint_id=checkpoint.id, state=checkpoint.status)
    if checkpoint.held_at is not None:
        raise CheckpointHeld(checkpoint_id=checkpoint.id, reason=checkpoint.hold_reason)
    _check_unpinned(uow, checkpoint)
    source = checkpoint.status
    if not move(uow.session, Checkpoint, checkpoint.id, source, CheckpointStatus.DELETING):
        raise CheckpointBusy(checkpoint_id=checkpoint.id, state="changing")


def check_reset(uow: UnitOfWork, checkpoint: Checkpoint) -> None:
    """Whether its state may be set by hand. The checkpoint's row is locked by the caller.

    :raises ResetRefused: it is deleted, or a task has it in hand.
    :raises CheckpointPinned: a restore, verification or copy needs it as it is.
    """
    facts = {"checkpoint_id": checkpoint.id, "state": checkpoint.status}
    if checkpoint.status == CheckpointStatus.DELETED:
        raise ResetRefused(**facts, reason="nothing is left of it")
    live = uow.tasks.live("checkpoint", checkpoint.id)
    if live:
        reason = f"operation {live[0].id} ({live[0].operation}) has not ended; wait, or ask it to end"
        raise ResetRefused(**facts, reason=reason)
    _check_unpinned(uow, checkpoint)


def _check_unpinned(uow: UnitOfWork, checkpoint: Checkpoint) -> None:
    """Who pins it has locked its row, as the caller has: what begins now comes before this or after."""
    if uow.checkpoints.pinned(checkpoint.id):
        raise CheckpointPinned(checkpoint_id=checkpoint.id, state=checkpoint.status)


def set_error(uow: UnitOfWork, checkpoint: Checkpoint, now: datetime) -> None:
    """Move to error, with all that was under way in it. `check_reset` has passed."""
    for row in checkpoint.resources:
        if row.status not in (ResourceStatus.AVAILABLE, ResourceStatus.ERROR, ResourceStatus.DELETED):
            target = ResourceStatus.ERROR
            move(uow.session, CheckpointResource, row.id, row.status, target, reason=BY_REQUEST)
    if checkpoint.status != CheckpointStatus.ERROR:
        move(
            uow.session,
            Checkpoint,
            checkpoint.id,
            checkpoint.status,
            CheckpointStatus.ERROR,
            ended_at=checkpoint.ended_at or now,
            error_code=RESET_CODE,
            error_message=BY_REQUEST,
        )
    quota.settle(uow, checkpoint)


def usable(
    uow: UnitOfWork, checkpoint_id: str, provider_id: str, project_id: str | None, field: str
) -> Checkpoint:
    """The available checkpoint that a restore or verification asks for, locked against its deletion.

    :param field: where both ids stand.
    :raises CheckpointNotFound: the project has none such.
    :raises InvalidField: it is another provider's.
    :raises CheckpointNotAvailable: it is not, or not any more.
    """
    with about(join(field, "checkpoint_id")):
        checkpoint = uow.checkpoints.get(checkpoint_id, project_id, lock=True)
    if checkpoint.provider_id != provider_id:
        reason = "is not the provider of this checkpoint"
        raise InvalidField(field=join(field, "provider_id"), reason=reason)
    with about(join(field, "checkpoint_id")):
        _check_available(checkpoint)
    return checkpoint


def _check_available(checkpoint: Checkpoint) -> None:
    if checkpoint.status != CheckpointStatus.AVAILABLE:
        raise CheckpointNotAvailable(checkpoint_id=checkpoint.id, state=checkpoint.status)
