"""Reset: call a checkpoint available after something went wrong, if it is whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from protectd.common.errors import ProtectdError
from protectd.domain import describing, manifests, quota
from protectd.domain.manifests import Manifest
from protectd.model.models import Checkpoint
from protectd.model.states import CheckpointStatus, RunStatus, move
from protectd.model.unit_of_work import UnitOfWork
from protectd.plugin.outcomes import refuse_bad
from protectd.tasks.base import BaseTask
from protectd.tasks.entities import provider_of
from protectd.tasks.env import OpenVault
from protectd.tasks.errors import EntityNotReady, NotSaved
from protectd.tasks.run import Run
from protectd.vault.notes import Notes


@dataclass
class ResetFacts:
    """:ivar status: where it was, and stays unless it is whole.
    :ivar missing: a resource of which its row does not say where its data lies.
    :ivar manifest: what the rows say of its data; None: not all of it. What the vault says counts then.
    :ivar snapshot_ids: where each resource's data lies, by `type#id`.
    """

    status: str
    missing: str
    manifest: Manifest | None
    manifest_id: str | None = None
    snapshot_ids: Mapping[str, str] = field(default_factory=dict)


class ResetCheckpoint(BaseTask[Checkpoint]):
    """The row goes before the vault, as everywhere: only where it does not say where the data lies, as after
    a worker that was lost at its last word, is the checkpoint's manifest believed."""

    operation = "reset"
    kind = "checkpoint"
    success_word = CheckpointStatus.AVAILABLE
    failure_word = RunStatus.FAIL

    def retrieve_entity(self, uow: UnitOfWork, entity_id: str) -> Checkpoint:
        return uow.checkpoints.get(entity_id, lock=True)

    def handle_begin(self, uow: UnitOfWork, checkpoint: Checkpoint, run: Run) -> None:
        if checkpoint.status == CheckpointStatus.DELETED:
            self._refuse(checkpoint, CheckpointStatus.ERROR)
        known = manifests.of_rows(checkpoint, uow.plans.parameters(checkpoint.plan_id))
        run.facts = ResetFacts(
            status=checkpoint.status,
            missing=next((row.key for row in checkpoint.resources if not row.snapshot_id), "its resources"),
            manifest=known if known.whole else None,
        )

    def handle_processing(self, run: Run) -> None:
        provider = provider_of(self.env, run)
        with (
            self.env.vaults.session(provider, run.context.project_id) as vault,
            vault.notes(run.progress) as notes,
        ):
            self._find(vault, notes, run)
            self._check(vault, run)

    def handle_success(self, uow: UnitOfWork, checkpoint: Checkpoint, run: Run) -> None:
        facts: ResetFacts = run.facts
        if checkpoint.status != facts.status:
            self._refuse(checkpoint, facts.status)
        values: dict[str, Any] = {"error_code": None, "error_message": None}
        if facts.manifest is not None:
            manifests.fill(uow, checkpoint, facts.manifest, facts.snapshot_ids)
            values |= manifests.outcome(facts.manifest) | {"manifest_id": facts.manifest_id}
        for name, value in values.items():
            setattr(checkpoint, name, value)
        if checkpoint.status != CheckpointStatus.AVAILABLE:
            target = CheckpointStatus.AVAILABLE
            move(uow.session, Checkpoint, checkpoint.id, checkpoint.status, target)
        quota.keep(uow, checkpoint, checkpoint.stored_bytes)

    def handle_error(self, uow: UnitOfWork, checkpoint: Checkpoint, error: ProtectdError, run: Run) -> None:
        """It stays where it is, and says why."""
        if run.facts is None or checkpoint.status == run.facts.status:
            checkpoint.error_code, checkpoint.error_message = error.code, str(error)
        quota.settle(uow, checkpoint)

    def _refuse(self, checkpoint: Checkpoint, expected: str) -> None:
        raise EntityNotReady(kind=self.kind, id=checkpoint.id, status=checkpoint.status, expected=expected)

    def _find(self, vault: OpenVault, notes: Notes, run: Run) -> None:
        """Where the data lies; what describes it is written again where it is gone.

        :raises NotSaved: nobody knows. :raises DataGone: it does not lie there.
        """
        facts: ResetFacts = run.facts
        with vault.reading(run.progress) as looking:
            snapshots = looking.snapshots()
            found = describing.described(snapshots).get(run.entity_id, [])
            if facts.manifest is None and found:
                facts.manifest = describing.read(looking, found[0])
        if facts.manifest is None:
            raise NotSaved(resource=facts.missing)
        facts.snapshot_ids = manifests.located(facts.manifest, snapshots)
        facts.manifest_id = found[0].id if found else describing.write(notes, facts.manifest, later=True)

    def _check(self, vault: OpenVault, run: Run) -> None:
        """:raises DataDamaged: something that it needs is missing, or does not fit together. :raises
        DataUnread: nobody can tell."""
        facts: ResetFacts = run.facts
        ids = sorted(set(facts.snapshot_ids.values()))
        report = vault.check(ids, read_data=False, progress=run.progress)
        refuse_bad(f"checkpoint {run.entity_id}", report)
