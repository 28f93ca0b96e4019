"""Manifests in a vault: each checkpoint's description is written and found again."""

from __future__ import annotations

from collections.abc import Sequence

from protectd.domain import manifests
from protectd.domain.manifests import Manifest
from protectd.vault.notes import Notes
from protectd.vault.reading import Reading
from protectd.vault.snapshot import Snapshot
from protectd.vault.tags import ATTEMPT_TAG, MANIFEST_TAG, manifest_of


def write(notes: Notes, manifest: Manifest, attempt: str = "", *, later: bool = False) -> str:
    """Keep a manifest in the vault; id of its snapshot.

    :param attempt: what `forget_attempt` finds it by.
    :param later: the data was saved before `notes` were begun; the manifest shall be older all the same.
    """
    tags = (MANIFEST_TAG + manifest.id, *([ATTEMPT_TAG + attempt] if attempt else ()))
    return notes.save(manifests.NAME, manifest.encode(), tags, manifest.created_at if later else None)


def described(snapshots: Sequence[Snapshot]) -> dict[str, list[Snapshot]]:
    """Manifests by the checkpoint they describe, the newest first. :param snapshots: oldest first."""
    found: dict[str, list[Snapshot]] = {}
    for snapshot in reversed(snapshots):
        checkpoint_id = manifest_of(snapshot)
        if checkpoint_id is not None:
            found.setdefault(checkpoint_id, []).append(snapshot)
    return found


def read(looking: Reading, snapshot: Snapshot) -> Manifest:
    """:raises ManifestDamaged: it says something else. :raises VaultDamaged: it does not read."""
    pieces: list[bytes] = []
    looking.cat(snapshot, b"/" + manifests.NAME.encode(), pieces.append)
    return Manifest.decode(b"".join(pieces), manifest_of(snapshot) or "")
