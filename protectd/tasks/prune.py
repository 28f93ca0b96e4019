"""Prune: give the bytes that no checkpoint uses back to the bank."""

from __future__ import annotations

import json
import logging

from protectd.common.errors import ProtectdError
from protectd.common.units import human_bytes
from protectd.model.unit_of_work import UnitOfWork
from protectd.tasks.base import BaseTask
from protectd.tasks.entities import provider_of
from protectd.tasks.run import Run
from protectd.vault.errors import PacksInUse, VaultLocked
from protectd.vault.prune import Waits

LOG = logging.getLogger(__name__)

_PREFIX = "prune "


class PruneVault(BaseTask[None]):
    """Follows the deletion of a checkpoint. It has no entity of its own: its task is all there is to see.

    Waits as long as others need what it has marked: nobody can do it in their stead, and nothing is lost by
    waiting. Each attempt goes on waiting for those that the former one has named, so that new ones do not
    keep it from its end.
    """

    operation = "prune"
    kind = "vault"
    success_word = "success"
    failure_word = "fail"
    wait_on = (VaultLocked, PacksInUse)
    patient = True

    def retrieve_entity(self, uow: UnitOfWork, entity_id: str) -> None:
        return None

    def handle_begin(self, uow: UnitOfWork, entity: None, run: Run) -> None: ...

    def handle_processing(self, run: Run) -> None:
        provider = provider_of(self.env, run)
        with self.env.vaults.session(provider, run.context.project_id) as vault:
            try:
                report = vault.prune(run.progress, waits=_waits(run.marks.find(_PREFIX)))
            except PacksInUse as error:
                run.marks.replace(_PREFIX, _mark(error))
                raise
        freed, kept = human_bytes(report.freed_bytes), human_bytes(report.kept_bytes)
        LOG.info("task %s: %s given back, %s kept", run.task_id, freed, kept)

    def handle_success(self, uow: UnitOfWork, entity: None, run: Run) -> None: ...

    def handle_error(self, uow: UnitOfWork, entity: None, error: ProtectdError, run: Run) -> None: ...


def _mark(error: PacksInUse) -> str:
    return _PREFIX + json.dumps({key: error.facts[key] for key in ("files", "operations")})


def _waits(mark: str | None) -> Waits | None:
    """What the last attempt has waited for."""
    if mark is None:
        return None
    facts = json.loads(mark.removeprefix(_PREFIX))
    return Waits(frozenset(facts["files"]), frozenset(facts["operations"]))
