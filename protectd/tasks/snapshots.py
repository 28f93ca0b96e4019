"""Which snapshots of a vault belong to a checkpoint."""

from __future__ import annotations

from collections.abc import Collection

from protectd.tasks.env import OpenVault
from protectd.vault.tags import ATTEMPT_TAG, CHECKPOINT_TAG


def forget_checkpoint(
    vault: OpenVault, checkpoint_id: str, *, also: Collection[str] = (), keep: Collection[str] = ()
) -> int:
    """Forget every snapshot that is tagged with the checkpoint, and those of `also`, which need not read any
    more.

    Safe to repeat. :returns: how many were meant.
    """
    tag = CHECKPOINT_TAG + checkpoint_id
    meant = {each.id for each in vault.snapshots() if tag in each.tags} | set(also)
    ids = sorted(meant.difference(keep))
    if ids:
        vault.forget(ids)
    return len(ids)


def forget_attempt(vault: OpenVault, attempt: str, *, keep: Collection[str]) -> int:
    """Forget what one run has saved, save for `keep`. Safe to repeat. :returns: how many snapshots."""
    tag = ATTEMPT_TAG + attempt
    ids = sorted({each.id for each in vault.snapshots() if tag in each.tags}.difference(keep))
    if ids:
        vault.forget(ids)
    return len(ids)
