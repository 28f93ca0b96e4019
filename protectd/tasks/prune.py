"""Prune: give the bytes that no checkpoint uses back to the bank."""

from __future__ import annotations

import logging

from protectd.common.errors import ProtectdError
from protectd.common.units import human_bytes
from protectd.model.unit_of_work import UnitOfWork
from protectd.tasks.base import BaseTask
from protectd.tasks.entities import provider_of
from protectd.tasks.run import Run

LOG = logging.getLogger(__name__)


class PruneVault(BaseTask[None]):
    """Follows the deletion of a checkpoint. It has no entity of its own: its task is all there is to see.

    Waits as long as others use the vault: nobody can do it in their stead, and nothing is lost by waiting.
    """

    operation = "prune"
    kind = "vault"
    success_word = "success"
    failure_word = "fail"
    patient = True

    def retrieve_entity(self, uow: UnitOfWork, entity_id: str) -> None:
        return None

    def handle_begin(self, uow: UnitOfWork, entity: None, run: Run) -> None: ...

    def handle_processing(self, run: Run) -> None:
        provider = provider_of(self.env, run)
        with self.env.vaults.session(provider, run.context.project_id) as vault:
            report = vault.prune(run.progress)
        freed, kept = human_bytes(report.freed_bytes), human_bytes(report.kept_bytes)
        LOG.info("task %s: %s given back, %s kept", run.task_id, freed, kept)

    def handle_success(self, uow: UnitOfWork, entity: None, run: Run) -> None: ...

    def handle_error(self, uow: UnitOfWork, entity: None, error: ProtectdError, run: Run) -> None: ...
