"""Tags by which the service finds the snapshots of its checkpoints, whatever their ids become."""

from __future__ import annotations

from protectd.vault.snapshot import Snapshot

CHECKPOINT_TAG = "protectd:checkpoint="
RESOURCE_TAG = "protectd:resource="
ATTEMPT_TAG = "protectd:attempt="


def checkpoint_of(snapshot: Snapshot) -> str | None:
    """Id of the checkpoint that a snapshot is part of; None for one that another program made."""
    return _value(snapshot, CHECKPOINT_TAG)


def resource_of(snapshot: Snapshot) -> str | None:
    """Id of the resource that was saved."""
    return _value(snapshot, RESOURCE_TAG)


def _value(snapshot: Snapshot, prefix: str) -> str | None:
    return next((tag.removeprefix(prefix) for tag in snapshot.tags if tag.startswith(prefix)), None)
