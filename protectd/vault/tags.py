"""Tags by which the service finds the snapshots of its checkpoints, whatever their ids become."""

from __future__ import annotations

from protectd.vault.snapshot import Snapshot

CHECKPOINT_TAG = "protectd:checkpoint="
RESOURCE_TAG = "protectd:resource="
ATTEMPT_TAG = "protectd:attempt="
MANIFEST_TAG = "protectd:manifest="
"""Of the snapshot that describes a checkpoint, in place of `CHECKPOINT_TAG`."""


def checkpoint_of(snapshot: Snapshot) -> str | None:
    """Id of the checkpoint that a snapshot is part of, or describes; None for one of another program."""
    return _value(snapshot, CHECKPOINT_TAG) or manifest_of(snapshot)


def manifest_of(snapshot: Snapshot) -> str | None:
    """Id of the checkpoint that a snapshot describes; None where it holds data."""
    return _value(snapshot, MANIFEST_TAG)


def resource_of(snapshot: Snapshot) -> str | None:
    """Id of the resource that was saved."""
    return _value(snapshot, RESOURCE_TAG)


def _value(snapshot: Snapshot, prefix: str) -> str | None:
    return next((tag.removeprefix(prefix) for tag in snapshot.tags if tag.startswith(prefix)), None)
