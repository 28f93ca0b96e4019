"""What protect and copy share: from a checkpoint that was asked for to one that is available, or failed."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from protectd.common.errors import ProtectdError
from protectd.domain import quota
from protectd.domain.providers import Provider
from protectd.model.models import Checkpoint
from protectd.model.states import CheckpointStatus, ResourceStatus, move
from protectd.model.unit_of_work import UnitOfWork
from protectd.tasks.base import BaseTask
from protectd.tasks.entities import fail_resources, move_resources, provider_of
from protectd.tasks.env import OpenVault
from protectd.tasks.errors import EntityNotReady
from protectd.tasks.run import Run
from protectd.tasks.snapshots import forget_checkpoint, forget_lost, taken_back
from protectd.vault.notes import Notes

LOG = logging.getLogger(__name__)

UNFINISHED = (ResourceStatus.PENDING, ResourceStatus.PROTECTING)


@dataclass(kw_only=True)
class MakingFacts(ABC):
    """:ivar repeated: an earlier attempt may have left snapshots.
    :ivar ended_at: when all was there. :ivar manifest_id: of the snapshot that describes it.
    """

    repeated: bool = False
    ended_at: datetime | None = None
    manifest_id: str | None = None

    @property
    @abstractmethod
    def made(self) -> Collection[str]:
        """Snapshots that this attempt has made so far."""

    @property
    def why(self) -> Mapping[str, str]:
        """Of what a resource has failed, by `type#id`."""
        return {}


class MakeCheckpoint(BaseTask[Checkpoint]):
    """:cvar waiting_word: its status until somebody makes it; `making_word` from then on."""

    kind = "checkpoint"
    success_word = CheckpointStatus.AVAILABLE
    failure_word = CheckpointStatus.ERROR
    waiting_word: ClassVar[str]
    making_word: ClassVar[str]

    @abstractmethod
    def facts_of(self, uow: UnitOfWork, checkpoint: Checkpoint) -> MakingFacts:
        """What the work needs."""

    @abstractmethod
    def make(self, vault: OpenVault, provider: Provider, run: Run) -> None:
        """Bring the data into the vault."""

    @abstractmethod
    def describe(self, notes: Notes, run: Run) -> str:
        """Keep in the vault what describes the whole; id of its snapshot.

        :raises ProtectdError: something is missing in it.
        """

    @abstractmethod
    def record(self, uow: UnitOfWork, checkpoint: Checkpoint, run: Run) -> dict[str, Any]:
        """Have the rows of the resources say what came of each; what the checkpoint's is to say of all."""

    def retrieve_entity(self, uow: UnitOfWork, entity_id: str) -> Checkpoint:
        return uow.checkpoints.get(entity_id, lock=True)

    def handle_begin(self, uow: UnitOfWork, checkpoint: Checkpoint, run: Run) -> None:
        repeated = checkpoint.status == self.making_word
        if not repeated and not self._start(uow, checkpoint):
            raise EntityNotReady(
                kind=self.kind, id=checkpoint.id, status=checkpoint.status, expected=self.waiting_word
            )
        run.facts = self.facts_of(uow, checkpoint)
        run.facts.repeated = repeated

    def handle_processing(self, run: Run) -> None:
        """Data first, then what describes it, rows later: what breaks off here leaves rubbish in the vault,
        never a lie."""
        facts: MakingFacts = run.facts
        provider = provider_of(self.env, run)
        with (
            self.env.vaults.session(provider, run.context.project_id) as vault,
            vault.notes(run.progress) as notes,
            taken_back(vault, run.attempt_id),
        ):
            self._forget_others(vault, run)
            self.make(vault, provider, run)
            self._forget_others(vault, run)
            facts.ended_at = self.env.clock.now()
            facts.manifest_id = self.describe(notes, run)

    def handle_success(self, uow: UnitOfWork, checkpoint: Checkpoint, run: Run) -> None:
        facts: MakingFacts = run.facts
        move(
            uow.session,
            Checkpoint,
            checkpoint.id,
            self.making_word,
            CheckpointStatus.AVAILABLE,
            ended_at=facts.ended_at or self.env.clock.now(),
            manifest_id=facts.manifest_id,
            **self.record(uow, checkpoint, run),
        )
        quota.keep(uow, checkpoint, checkpoint.stored_bytes)

    def handle_error(self, uow: UnitOfWork, checkpoint: Checkpoint, error: ProtectdError, run: Run) -> None:
        fail_resources(uow, checkpoint.resources, UNFINISHED, run.facts.why if run.facts else {})
        if checkpoint.status in (self.waiting_word, self.making_word):
            move(
                uow.session,
                Checkpoint,
                checkpoint.id,
                checkpoint.status,
                CheckpointStatus.ERROR,
                ended_at=self.env.clock.now(),
                error_code=error.code,
                error_message=str(error),
            )
            quota.settle(uow, checkpoint)

    def handle_lost(self, run: Run) -> None:
        """What was stored before it was noticed that another has the task is this run's to take away."""
        forgotten = forget_lost(self.env, run)
        LOG.info("task %s: %d snapshots of a lost attempt are taken away", run.task_id, forgotten)

    def _start(self, uow: UnitOfWork, checkpoint: Checkpoint) -> bool:
        if checkpoint.status != self.waiting_word:
            return False
        move_resources(uow, checkpoint.resources, (ResourceStatus.PENDING,), ResourceStatus.PROTECTING)
        now = self.env.clock.now()
        return move(
            uow.session, Checkpoint, checkpoint.id, self.waiting_word, self.making_word, started_at=now
        )

    def _forget_others(self, vault: OpenVault, run: Run) -> None:
        """An attempt that broke off, or was late to notice that its lease was lost, may have left some."""
        facts: MakingFacts = run.facts
        if facts.repeated:
            forget_checkpoint(vault, run.entity_id, keep=facts.made)
