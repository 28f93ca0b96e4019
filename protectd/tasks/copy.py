"""Copy: from a checkpoint that waits to one that holds what another does, in that one's vault or another."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from protectd.common.reports import CopyReport
from protectd.domain import describing, manifests
from protectd.domain.manifests import Manifest
from protectd.domain.providers import Provider
from protectd.model.models import Checkpoint, CheckpointResource
from protectd.model.states import CheckpointStatus, ResourceStatus, move
from protectd.model.unit_of_work import UnitOfWork
from protectd.tasks.env import OpenVault
from protectd.tasks.errors import CopyIncomplete, EntityNotReady, NotSaved
from protectd.tasks.making import MakeCheckpoint, MakingFacts
from protectd.tasks.run import Run
from protectd.tasks.snapshots import retagged
from protectd.vault.notes import Notes

FINISHED = {"copy_status": CheckpointStatus.FINISHED}
"""What the contract has in `extra_info` of a copy that went well."""


@dataclass
class CopyFacts(MakingFacts):
    """:ivar snapshots: of the source, by `type#id`.
    :ivar manifest: what describes the copy, without its snapshots.
    """

    source_provider_id: str
    snapshots: Mapping[str, str]
    manifest: Manifest
    report: CopyReport = CopyReport()

    @property
    def copies(self) -> dict[str, str]:
        """Snapshots of the copy, by `type#id`."""
        made = dict((*self.report.copied, *self.report.present))
        return {key: made[id] for key, id in self.snapshots.items() if id in made}

    @property
    def made(self) -> Collection[str]:
        return self.copies.values()


class CopyCheckpoint(MakeCheckpoint):
    """Blobs that the other vault has are not moved, also those that an attempt that broke off has moved: it
    names them in the index once a minute."""

    operation = "copy"
    waiting_word = CheckpointStatus.WAIT_COPYING
    making_word = CheckpointStatus.COPYING

    def facts_of(self, uow: UnitOfWork, checkpoint: Checkpoint) -> CopyFacts:
        source = uow.checkpoints.get(checkpoint.source_id or "", checkpoint.project_id)
        manifest = manifests.of_rows(checkpoint, uow.plans.parameters(checkpoint.plan_id))
        return CopyFacts(source.provider_id, _snapshots(source), manifest)

    def make(self, vault: OpenVault, provider: Provider, run: Run) -> None:
        facts: CopyFacts = run.facts
        home, ids = self.env.providers.get(facts.source_provider_id), list(facts.snapshots.values())
        with self.env.vaults.session(home, run.context.project_id) as source:
            tags = retagged(source, ids, run.entity_id, run.attempt_id)
            facts.report = source.copy(vault, ids, run.progress, tags=tags)

    def describe(self, notes: Notes, run: Run) -> str:
        facts: CopyFacts = run.facts
        if not facts.report.ok:
            raise CopyIncomplete(errors="; ".join(facts.report.errors))
        whole = facts.manifest.holding(
            facts.copies,
            ended_at=manifests.text_of(facts.ended_at),
            extra_info=(facts.manifest.checkpoint["extra_info"] or {}) | FINISHED,
            stored_bytes=facts.report.copied_bytes,
        )
        return describing.write(notes, whole, run.attempt_id, later=True)

    def record(self, uow: UnitOfWork, checkpoint: Checkpoint, run: Run) -> dict[str, Any]:
        facts: CopyFacts = run.facts
        for row in checkpoint.resources:
            move(
                uow.session,
                CheckpointResource,
                row.id,
                ResourceStatus.PROTECTING,
                ResourceStatus.AVAILABLE,
                snapshot_id=facts.copies.get(row.key),
            )
        return {
            "extra_info": (checkpoint.extra_info or {}) | FINISHED,
            "stored_bytes": facts.report.copied_bytes,
        }


def _snapshots(source: Checkpoint) -> dict[str, str]:
    """:raises EntityNotReady: the source has left the state in which it was to be copied.
    :raises NotSaved: there is no data of one of its resources."""
    if source.status != CheckpointStatus.AVAILABLE:
        expected = CheckpointStatus.AVAILABLE
        raise EntityNotReady(kind="checkpoint", id=source.id, status=source.status, expected=expected)
    for row in source.resources:
        if not row.snapshot_id:
            raise NotSaved(resource=row.key)
    return {row.key: row.snapshot_id for row in source.resources if row.snapshot_id}
