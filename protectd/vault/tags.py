"""Tags by which the service finds the snapshots of its checkpoints, whatever their ids become."""

from __future__ import annotations

from protectd.vault.snapshot import Snapshot

CHECKPOINT_TAG = "protectd:checkpoint="
RESOURCE_TAG = "protectd:resource="
ATTEMPT_TAG = "protectd:attempt="
MANIFEST_TAG = "protectd:manifest="
"""Of the snapshot that describes a checkpoint, in place of `CHECKPOINT_TAG`."""


HOLD_TAG = "protectd:hold="
"""Of the snapshot that says that a checkpoint is held, in place of `CHECKPOINT_TAG`."""


def checkpoint_of(snapshot: Snapshot) -> str | None:
    """Id of the checkpoint that a snapshot is part of, or tells of; None for one of another program."""
    return _value(snapshot, CHECKPOINT_TAG) or manifest_of(snapshot) or hold_of(snapshot)


def manifest_of(snapshot: Snapshot) -> str | None:
    """Id of the checkpoint that a snapshot describes; None where it does not."""
    return _value(snapshot, MANIFEST_TAG)


def hold_of(snapshot: Snapshot) -> str | None:
    """Id of the checkpoint that a snapshot says is held; None where it does not."""
    return _value(snapshot, HOLD_TAG)


def is_data(snapshot: Snapshot) -> bool:
    """What tells of a checkpoint takes room and is none of its files."""
    return manifest_of(snapshot) is None and hold_of(snapshot) is None


def resource_of(snapshot: Snapshot) -> str | None:
    """Id of the resource that was saved."""
    return _value(snapshot, RESOURCE_TAG)


def _value(snapshot: Snapshot, prefix: str) -> str | None:
    return next((tag.removeprefix(prefix) for tag in snapshot.tags if tag.startswith(prefix)), None)
