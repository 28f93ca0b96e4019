"""Forgetting: a snapshot's file goes at once, its bytes with the next prune."""

from __future__ import annotations

from collections.abc import Iterable

from protectd.vault.config import is_id
from protectd.vault.repository import Repository


def forget(repository: Repository, snapshot_ids: Iterable[str]) -> int:
    """Remove snapshots; ids that are not there are skipped, so it may be repeated. How many were there.

    Needs no lock: a writer that runs meanwhile refers to blobs, and those stay until a prune, which has the
    vault alone.
    """
    there = set(repository.names("snapshots"))
    wanted = {snapshot_id for snapshot_id in snapshot_ids if is_id(snapshot_id)} & there
    for snapshot_id in sorted(wanted):
        repository.remove_snapshot(snapshot_id)
    return len(wanted)
