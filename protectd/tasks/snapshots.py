"""Which snapshots of a vault belong to a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress

from protectd.common.errors import ProtectdError
from protectd.model.models import Checkpoint
from protectd.tasks.entities import provider_of
from protectd.tasks.env import OpenVault, TaskEnv
from protectd.tasks.run import Run
from protectd.vault.tags import ATTEMPT_TAG, CHECKPOINT_TAG, checkpoint_of, is_data


def snapshot_ids(checkpoint: Checkpoint) -> frozenset[str]:
    """All that its rows name."""
    named = (checkpoint.manifest_id, *(row.snapshot_id for row in checkpoint.resources))
    return frozenset(filter(None, named))


def forget_checkpoint(
    vault: OpenVault,
    checkpoint_id: str,
    *,
    also: Collection[str] = (),
    keep: Collection[str] = (),
    begin: Callable[[], object] = lambda: None,
) -> int:
    """Forget what tells of the checkpoint, then every snapshot that is tagged with it, and those of `also`,
    which need not read any more. What is broken off leaves data that nothing describes.

    Safe to repeat. :param begin: called before anything goes. :returns: how many were meant.
    """
    snapshots = vault.snapshots()
    telling = {each.id for each in snapshots if checkpoint_of(each) == checkpoint_id and not is_data(each)}
    meant = {each.id for each in snapshots if CHECKPOINT_TAG + checkpoint_id in each.tags} | set(also)
    found = [sorted(ids.difference(keep)) for ids in (telling, meant)]
    for ids in filter(None, found):
        begin()
        vault.forget(ids)
    return sum(map(len, found))


def forget_attempt(vault: OpenVault, attempt: str, *, keep: Collection[str]) -> int:
    """Forget what one run has saved, save for `keep`. Safe to repeat. :returns: how many snapshots."""
    tag = ATTEMPT_TAG + attempt
    ids = sorted({each.id for each in vault.snapshots() if tag in each.tags}.difference(keep))
    if ids:
        vault.forget(ids)
    return len(ids)


def forget_lost(env: TaskEnv, run: Run) -> int:
    """Forget what a run has saved whose task is another's by now, save for what the checkpoint's row names.

    :returns: how many snapshots.
    """
    with env.database.read() as uow:
        checkpoint = uow.checkpoints.find(run.entity_id, include_deleted=True)
        keep = snapshot_ids(checkpoint) if checkpoint else ()
    with env.vaults.session(provider_of(env, run), run.context.project_id) as vault:
        return forget_attempt(vault, run.attempt_id, keep=keep)


@contextmanager
def taken_back(vault: OpenVault, attempt: str) -> Iterator[None]:
    """What an attempt that fails has stored goes: its checkpoint is not to be found with restic either. Where
    the vault is away, it goes with the next attempt or with the deletion of the checkpoint."""
    try:
        yield
    except ProtectdError:
        with suppress(ProtectdError):
            forget_attempt(vault, attempt, keep=())
        raise


def retagged(
    vault: OpenVault, snapshot_ids: Collection[str], checkpoint_id: str, attempt: str
) -> dict[str, list[str]]:
    """Tags for copies of these snapshots, by id: as they are, but of another checkpoint and attempt."""
    own = [CHECKPOINT_TAG + checkpoint_id, ATTEMPT_TAG + attempt]
    kept = {
        snapshot.id: [tag for tag in snapshot.tags if not tag.startswith((CHECKPOINT_TAG, ATTEMPT_TAG))]
        for snapshot in vault.snapshots()
    }
    return {id: own + kept.get(id, []) for id in snapshot_ids}
