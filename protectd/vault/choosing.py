"""Which snapshots a person means."""

from __future__ import annotations

import re
from collections.abc import Sequence

from protectd.vault.errors import AmbiguousName, SnapshotNotFound
from protectd.vault.snapshot import Snapshot
from protectd.vault.tags import checkpoint_of, is_data

_is_start_of_id = re.compile(r"[0-9a-f]{4,64}").fullmatch
LATEST = "latest"


def choose(snapshots: Sequence[Snapshot], text: str, *, manifests: bool = False) -> list[Snapshot]:
    """All snapshots of a checkpoint, or the one that an id, the start of one (four digits or more), or
    `latest` names.

    :param snapshots: oldest first.
    :param manifests: what tells of a checkpoint too, not only its data.
    :raises SnapshotNotFound: nothing is called so. :raises AmbiguousName: several ids start so.
    """
    data = [each for each in snapshots if is_data(each)]
    of_checkpoint = [each for each in (snapshots if manifests else data) if checkpoint_of(each) == text]
    if of_checkpoint:
        return of_checkpoint
    if text == LATEST and data:
        return [data[-1]]
    found = [each for each in snapshots if _is_start_of_id(text) and each.id.startswith(text)]
    if not found:
        raise SnapshotNotFound(snapshot_id=text)
    if len(found) > 1:
        raise AmbiguousName(name=text, kind="snapshots", found=", ".join(each.id[:16] for each in found[:8]))
    return found


def choose_one(snapshots: Sequence[Snapshot], text: str) -> Snapshot:
    """As `choose`, where only one will do. :raises AmbiguousName: it is a checkpoint of several resources."""
    found = choose(snapshots, text)
    if len(found) > 1:
        raise AmbiguousName(name=text, kind="snapshots", found=", ".join(each.id[:16] for each in found[:8]))
    return found[0]
