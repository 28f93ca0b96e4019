"""Whether snapshots may be taken out of a vault by hand: not while a checkpoint is said to have them."""

from __future__ import annotations

from collections.abc import Sequence

from protectd.common.errors import Conflict
from protectd.model.unit_of_work import UnitOfWork
from protectd.vault.snapshot import Snapshot
from protectd.vault.tags import checkpoint_of


class CheckpointNeedsSnapshots(Conflict):
    code = "vault.snapshots_needed"
    message = (
        "checkpoint {checkpoint_id} ({status}) has snapshots among these, and {others} more have; delete the"
        " checkpoint through the API, or forget by force what it can then never give back"
    )


def refuse_needed(uow: UnitOfWork, project_id: str, provider_id: str, snapshots: Sequence[Snapshot]) -> None:
    """:raises CheckpointNeedsSnapshots: names the oldest checkpoint that has one of them."""
    ids = {each.id for each in snapshots}
    tagged = {checkpoint for each in snapshots if (checkpoint := checkpoint_of(each)) is not None}
    found = uow.checkpoints.referring(project_id, provider_id, ids, tagged)
    if found:
        raise CheckpointNeedsSnapshots(
            checkpoint_id=found[0].id, status=found[0].status, others=len(found) - 1
        )
