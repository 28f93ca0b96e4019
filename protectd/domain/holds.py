"""Holds: a checkpoint that must not go, whatever rule or user wants it gone."""

from __future__ import annotations

from datetime import datetime

from protectd.common.context import RequestContext
from protectd.common.errors import Conflict
from protectd.domain.checkpoints import CheckpointBusy
from protectd.model.models import Checkpoint
from protectd.model.repositories.checkpoints import CheckpointNotFound
from protectd.model.states import CheckpointStatus


class HeldByAnother(Conflict):
    code = "checkpoint.held_by_another"
    message = "checkpoint {checkpoint_id} is held by {held_by} already"


def place(checkpoint: Checkpoint, reason: str, context: RequestContext, now: datetime) -> None:
    """Keep it from being deleted. Safe to repeat: the first moment stays. The checkpoint's row is locked by
    the caller.

    :raises CheckpointBusy: it is being deleted.
    :raises HeldByAnother: and the caller is no administrator; it is held, all the same.
    """
    if checkpoint.status == CheckpointStatus.DELETED:
        raise CheckpointNotFound(id=checkpoint.id)
    if checkpoint.status == CheckpointStatus.DELETING:
        raise CheckpointBusy(checkpoint_id=checkpoint.id, state=checkpoint.status)
    held_by = checkpoint.held_by if checkpoint.held_at else context.user_id
    if held_by != context.user_id and not context.is_admin:
        raise HeldByAnother(checkpoint_id=checkpoint.id, held_by=held_by)
    checkpoint.hold_reason = reason
    checkpoint.held_by = context.user_id
    checkpoint.held_at = checkpoint.held_at or now


def lift(checkpoint: Checkpoint) -> None:
    """Let it be deleted again. Safe to repeat. Whether the caller may is asked before."""
    checkpoint.hold_reason = checkpoint.held_by = checkpoint.held_at = None
