"""Which snapshots may be taken out of a vault by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from protectd.common.ids import new_id
from protectd.domain.forgetting import CheckpointNeedsSnapshots, refuse_needed
from protectd.model.models import Checkpoint
from protectd.model.states import CheckpointStatus
from protectd.model.unit_of_work import Database
from protectd.vault.snapshot import Snapshot
from tests.fakes import rows

pytest_plugins = ["tests.fakes.databases"]

PROVIDER = new_id()


def snapshot(number: int, checkpoint_id: str = "") -> Snapshot:
    tags = (f"protectd:checkpoint={checkpoint_id}",) if checkpoint_id else ()
    return Snapshot(datetime.now(UTC), "a" * 64, ("/x",), tags=tags, id=f"{number:064x}")


def checkpoint(database: Database, status: str, snapshot_id: str | None = None) -> Checkpoint:
    with database.write() as uow:
        plan = uow.plans.add(rows.plan(provider_id=PROVIDER, resources=[rows.resource("r")]))
        made = Checkpoint.of(plan)
        made.status = status
        made.resources[0].snapshot_id = snapshot_id
        return uow.checkpoints.add(made)


def refused(database: Database, *snapshots: Snapshot, project: str = rows.PROJECT) -> str | None:
    """Id of the checkpoint that needs one."""
    try:
        with database.read() as uow:
            refuse_needed(uow, project, PROVIDER, snapshots)
    except CheckpointNeedsSnapshots as error:
        return str(error.facts["checkpoint_id"])
    return None


@pytest.mark.parametrize("status", [CheckpointStatus.AVAILABLE, CheckpointStatus.ERROR])
def test_what_a_checkpoint_names_stays(any_database: Database, status: str) -> None:
    one = snapshot(1)
    made = checkpoint(any_database, status, one.id)
    assert refused(any_database, snapshot(2), one) == made.id


def test_what_a_run_under_way_has_stored_stays(any_database: Database) -> None:
    made = checkpoint(any_database, CheckpointStatus.PROTECTING)
    assert refused(any_database, snapshot(1, made.id)) == made.id


def test_what_a_deleted_checkpoint_had_may_go(any_database: Database) -> None:
    made = checkpoint(any_database, CheckpointStatus.DELETED, snapshot(1).id)
    assert refused(any_database, snapshot(1, made.id)) is None


def test_what_the_database_does_not_know_may_go(any_database: Database) -> None:
    checkpoint(any_database, CheckpointStatus.AVAILABLE, snapshot(1).id)
    assert refused(any_database, snapshot(2), snapshot(3, "another service's")) is None
    assert refused(any_database) is None


def test_another_projects_checkpoint_is_no_obstacle(any_database: Database) -> None:
    checkpoint(any_database, CheckpointStatus.AVAILABLE, snapshot(1).id)
    assert refused(any_database, snapshot(1), project=rows.OTHER_PROJECT) is None
