"""Holds in a vault: each is written beside what it keeps, so that it outlives the database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from protectd.common.errors import InvalidField, ProtectdError, Unavailable
from protectd.domain import validation
from protectd.domain.manifests import STORABLE, read_moment, text_of
from protectd.model.models import Checkpoint
from protectd.model.states import CheckpointStatus
from protectd.vault.notes import Notes
from protectd.vault.reading import Reading
from protectd.vault.snapshot import Snapshot
from protectd.vault.tags import HOLD_TAG, hold_of

NAME = "hold.json"
FORMAT = 1

_TEXT = {"type": "string", "maxLength": 255, "pattern": STORABLE}
SCHEMA: validation.Schema = {
    "type": "object",
    "properties": {
        "format": {"const": FORMAT},
        "checkpoint_id": {"type": "string"},
        "reason": _TEXT,
        "held_by": _TEXT,
        "held_at": {"type": "string", "maxLength": 40},
    },
    "required": ["format", "checkpoint_id", "reason", "held_by", "held_at"],
}


class HoldNoteDamaged(ProtectdError):
    """It opened well and does not say what such a note says."""

    code = "hold.note_damaged"
    message = "the note that checkpoint {checkpoint_id} is held cannot be used: {reason}"


@dataclass(frozen=True, slots=True)
class Hold:
    """That a checkpoint is kept: why, by whom, and since when."""

    reason: str
    held_by: str
    held_at: datetime

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Self | None:
        """None: it is not held, or there is nothing left to keep."""
        if checkpoint.held_at is None or checkpoint.status == CheckpointStatus.DELETED:
            return None
        return cls(checkpoint.hold_reason or "", checkpoint.held_by or "", checkpoint.held_at)

    def place(self, checkpoint: Checkpoint) -> None:
        checkpoint.hold_reason, checkpoint.held_by = self.reason, self.held_by
        checkpoint.held_at = self.held_at

    def encode(self, checkpoint_id: str) -> bytes:
        fields = {"checkpoint_id": checkpoint_id, "reason": self.reason, "held_by": self.held_by}
        text = json.dumps({"format": FORMAT, **fields, "held_at": text_of(self.held_at)}, indent=1)
        return text.encode() + b"\n"

    @classmethod
    def decode(cls, raw: bytes, checkpoint_id: str) -> Self:
        """:raises HoldNoteDamaged: it is none, or that of another checkpoint."""
        try:
            fields = json.loads(raw)
            validation.check(fields, SCHEMA)
            held_at = read_moment(fields["held_at"])
        except (InvalidField, ValueError, OverflowError, RecursionError) as error:
            raise HoldNoteDamaged(checkpoint_id=checkpoint_id, reason=str(error)) from error
        if held_at is None or fields["checkpoint_id"] != checkpoint_id:
            raise HoldNoteDamaged(checkpoint_id=checkpoint_id, reason="it is that of another checkpoint")
        return cls(fields["reason"], fields["held_by"], held_at)


def noted(snapshots: Sequence[Snapshot]) -> dict[str, list[Snapshot]]:
    """Notes by the checkpoint that they say is held."""
    found: dict[str, list[Snapshot]] = {}
    for snapshot in snapshots:
        checkpoint_id = hold_of(snapshot)
        if checkpoint_id is not None:
            found.setdefault(checkpoint_id, []).append(snapshot)
    return found


def write(notes: Notes, checkpoint_id: str, hold: Hold, moment: datetime) -> str:
    """Id of its snapshot. :param moment: its time: one before that of the data, which is `latest` then."""
    return notes.save(NAME, hold.encode(checkpoint_id), (HOLD_TAG + checkpoint_id,), moment)


def read(looking: Reading, snapshot: Snapshot) -> Hold:
    """:raises HoldNoteDamaged: it says something else. :raises VaultDamaged: it does not read."""
    pieces: list[bytes] = []
    looking.cat(snapshot, b"/" + NAME.encode(), pieces.append)
    return Hold.decode(b"".join(pieces), hold_of(snapshot) or "")


def readable(looking: Reading, found: Sequence[Snapshot]) -> dict[str, Hold]:
    """What notes say, by the ids of those that read."""
    said: dict[str, Hold] = {}
    for snapshot in found:
        try:
            said[snapshot.id] = read(looking, snapshot)
        except Unavailable:
            raise
        except ProtectdError:
            continue
    return said
