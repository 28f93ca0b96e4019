"""Setting right what quotas say of a project, where that has drifted from what it has."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from protectd.common.clock import Clock
from protectd.domain import quota
from protectd.model.repositories.quotas import RESOURCES
from protectd.model.unit_of_work import Database, UnitOfWork

BATCH = 100


def heal(database: Database, project_id: str, clock: Clock) -> Mapping[str, tuple[int, int]]:
    """Count a project's things anew. Safe beside everything that takes and gives, and any number of times.

    :param clock: what has expired by it does not count.
    :returns: for each resource that was wrong, what was said and what is true.
    """
    _heal_marks(database, project_id)
    now = clock.now()
    with database.read() as uow:
        if not uow.balances.balance(project_id, now).wrong:
            return {}
    with database.write() as uow:
        return _heal_usages(uow, project_id, now)


def _heal_marks(database: Database, project_id: str) -> None:
    """Checkpoints that say of themselves what is not so: an older version has made or ended them."""
    ids = [""]
    while ids:
        with database.read() as uow:
            ids = uow.balances.miscounted(project_id, ids[-1], BATCH)
        for id in ids:
            with database.write() as uow:
                _heal_mark(uow, id)


def _heal_mark(uow: UnitOfWork, checkpoint_id: str) -> None:
    checkpoint = uow.checkpoints.find(checkpoint_id, include_deleted=True, lock=True)
    if checkpoint is None or uow.tasks.live("checkpoint", checkpoint_id):
        return  # whoever has it in hand ends with the truth
    quota.settle(uow, checkpoint)


def _heal_usages(uow: UnitOfWork, project_id: str, now: datetime) -> dict[str, tuple[int, int]]:
    """Who takes or gives waits meanwhile, and what it has done before is in both figures."""
    for resource in RESOURCES:
        uow.quotas.lock(project_id, resource)
    balance = uow.balances.balance(project_id, now)
    for resource in balance.wrong:
        uow.quotas.set_usage(project_id, resource, balance.true[resource])
    return {name: (balance.said.get(name, 0), balance.true[name]) for name in balance.wrong}
