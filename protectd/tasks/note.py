"""Note: have the vault say of a checkpoint's hold what its row says."""

from __future__ import annotations

from datetime import datetime

from protectd.common.errors import ProtectdError
from protectd.domain import hold_notes
from protectd.domain.hold_notes import Hold
from protectd.model.models import Checkpoint
from protectd.model.states import RunStatus
from protectd.model.unit_of_work import UnitOfWork
from protectd.tasks.base import BaseTask
from protectd.tasks.entities import provider_of
from protectd.tasks.env import OpenVault
from protectd.tasks.run import Run

Said = tuple[Hold | None, datetime]
"""What a row says, and when its checkpoint was made."""


class NoteHold(BaseTask[Checkpoint]):
    """Follows each change of a hold, and may be late: the row may have changed again, or its checkpoint be
    deleted. It goes on until the vault says what the row says, so that of several at once none leaves what
    was true before."""

    operation = "note"
    kind = "hold"
    success_word = RunStatus.SUCCESS
    failure_word = RunStatus.FAIL
    patient = True

    def retrieve_entity(self, uow: UnitOfWork, entity_id: str) -> Checkpoint:
        """Whoever changes a hold and finds this task waiting has the row locked until that is committed."""
        return uow.checkpoints.get(entity_id, include_deleted=True, lock=True)

    def handle_begin(self, uow: UnitOfWork, checkpoint: Checkpoint, run: Run) -> None: ...

    def handle_processing(self, run: Run) -> None:
        provider = provider_of(self.env, run)
        with self.env.vaults.session(provider, run.context.project_id) as vault:
            said, noted = self._said(run), None
            while said != noted:
                run.progress.check()
                _note(vault, run, *said)
                said, noted = self._said(run), said

    def handle_success(self, uow: UnitOfWork, checkpoint: Checkpoint, run: Run) -> None: ...

    def handle_error(self, uow: UnitOfWork, checkpoint: Checkpoint, error: ProtectdError, run: Run) -> None:
        """The row still keeps the checkpoint."""

    def _said(self, run: Run) -> Said:
        with self.env.database.read() as uow:
            checkpoint = uow.checkpoints.get(run.entity_id, include_deleted=True)
            return Hold.of(checkpoint), checkpoint.created_at


def _note(vault: OpenVault, run: Run, hold: Hold | None, moment: datetime) -> None:
    """The new note first, then the former ones go: there is one at every moment of a hold."""
    with vault.reading(run.progress) as looking:
        found = hold_notes.noted(looking.snapshots()).get(run.entity_id, [])
        said = hold_notes.readable(looking, found)
    kept = [id for id, each in said.items() if each == hold][:1]
    if hold is not None and not kept:
        with vault.notes(run.progress) as notes:
            hold_notes.write(notes, run.entity_id, hold, moment)
    stale = sorted({each.id for each in found}.difference(kept))
    if stale:
        vault.forget(stale)
