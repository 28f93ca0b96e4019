"""What quotas say is set right when it has drifted, on every database, beside everything that goes on."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from protectd.common.errors import Cancelled
from protectd.common.ids import new_id
from protectd.domain import quota
from protectd.domain.balances import BATCH, heal
from protectd.engine.usage import REST_S, UsageAudit
from protectd.model.models import Checkpoint, Secret
from protectd.model.repositories.quotas import CHECKPOINTS, OPERATIONS, PLANS, SECRETS, STORED_BYTES
from protectd.model.unit_of_work import Database
from protectd.tasks.delete import DeleteCheckpoint
from protectd.tasks.run import Run
from tests.fakes import rows
from tests.fakes.clock import ManualClock
from tests.fakes.tasks import CONTEXT, env_of, new_checkpoint, run_task
from tests.functional.test_commands import config, run

pytest_plugins = ["tests.fakes.databases"]

CLOCK = ManualClock()


@pytest.fixture
def project() -> str:
    return new_id()


def usages(database: Database, project: str) -> dict[str, int]:
    with database.read() as uow:
        return {name: amount for name, amount in uow.quotas.usages(project).items() if amount}


def add_checkpoint(database: Database, project: str, status: str, **values: object) -> Checkpoint:
    """As an older version left them: nothing is counted, unless said."""
    with database.write() as uow:
        plan = uow.plans.add(rows.plan(project_id=project))
        given = {"counted": False, "status": status, "stored_bytes": 10} | values
        return uow.checkpoints.add(rows.checkpoint(plan, **given))


def test_what_an_older_version_left_is_counted(any_database: Database, project: str) -> None:
    for status in ("available", "error", "deleted"):
        add_checkpoint(any_database, project, status)
    add_checkpoint(any_database, project, "error-deleting", manifest_id="ab" * 32)
    for status in ("error", "deleted"):
        add_checkpoint(any_database, project, status, counted=True, counted_bytes=10)
    heal(any_database, project, CLOCK)
    assert usages(any_database, project) == {PLANS: 6, CHECKPOINTS: 2, STORED_BYTES: 20}
    assert heal(any_database, project, CLOCK) == {}


def test_a_deletion_that_failed_counts_what_did_before(any_database: Database, project: str) -> None:
    """One that never had any data is not taken into the quota by its deletion, nor by counting anew."""
    empty, full = (
        add_checkpoint(any_database, project, "deleting", **values)
        for values in ({}, {"counted": True, "counted_bytes": 10, "manifest_id": "ab" * 32})
    )
    heal(any_database, project, CLOCK)
    deletion, run_of_nobody = DeleteCheckpoint(env_of(any_database, ManualClock())), cast("Run", None)
    before = usages(any_database, project)
    assert before == {PLANS: 2, CHECKPOINTS: 1, STORED_BYTES: 10}
    with any_database.write() as uow:
        for id in (empty.id, full.id):
            row = uow.checkpoints.get(id, lock=True)
            deletion.handle_error(uow, row, Cancelled(), run_of_nobody)
    assert usages(any_database, project) == before
    assert heal(any_database, project, CLOCK) == {}
    with any_database.read() as uow:
        found = [uow.checkpoints.get(each.id) for each in (empty, full)]
    assert [(each.status, each.counted) for each in found] == [
        ("error-deleting", False),
        ("error-deleting", True),
    ]


@pytest.mark.parametrize("recorded", ["of the checkpoint", "of a resource"])
def test_what_failed_but_has_a_snapshot_counts_as_before(
    any_database: Database, project: str, recorded: str
) -> None:
    with any_database.write() as uow:
        parts = [rows.resource("one"), rows.resource("two")]
        plan = uow.plans.add(rows.plan(project_id=project, resources=parts))
        for status in ("error", "deleted"):
            given = {"counted": False, "status": status, "stored_bytes": 10}
            made = uow.checkpoints.add(rows.checkpoint(plan, **given))
            if recorded == "of the checkpoint":
                made.manifest_id = "ab" * 32
            else:
                made.resources[1].snapshot_id = "cd" * 32
    heal(any_database, project, CLOCK)
    assert usages(any_database, project) == {PLANS: 1, CHECKPOINTS: 1, STORED_BYTES: 10}
    assert heal(any_database, project, CLOCK) == {}


def test_more_than_a_batch_of_them_is_counted(any_database: Database, project: str) -> None:
    with any_database.write() as uow:
        plan = uow.plans.add(rows.plan(project_id=project))
        for _ in range(BATCH + 5):
            uow.checkpoints.add(rows.checkpoint(plan, counted=False, status="available"))
    heal(any_database, project, CLOCK)
    assert usages(any_database, project) == {PLANS: 1, CHECKPOINTS: BATCH + 5}


def test_figures_that_somebody_has_changed_are_set_right(any_database: Database, project: str) -> None:
    with any_database.write() as uow:
        uow.plans.add(rows.plan(project_id=project))
        uow.quotas.take(project, PLANS, 7)
        uow.quotas.take(project, OPERATIONS, 3)
    assert heal(any_database, project, CLOCK) == {PLANS: (7, 1), OPERATIONS: (3, 0)}
    assert usages(any_database, project) == {PLANS: 1}


def test_what_has_expired_is_told_by_the_given_clock(any_database: Database, project: str) -> None:
    """However much later it is on this host."""
    clock = ManualClock(datetime(2020, 1, 1, tzinfo=UTC))
    with any_database.write() as uow:
        expiration = clock.now() + timedelta(seconds=90)
        sealed = {"store": "crypto", "key_id": "k", "cipher_text": b""}
        owned = {"project_id": project, "creator_id": "u", "expiration": expiration}
        uow.secrets.add(Secret(id=new_id(), **owned, **sealed))
    assert heal(any_database, project, clock) == {SECRETS: (0, 1)}
    clock.advance(91)
    assert heal(any_database, project, clock) == {SECRETS: (1, 0)}


def test_what_is_under_way_is_left_to_whoever_has_it_in_hand(any_database: Database) -> None:
    clock = ManualClock()
    made, ref = new_checkpoint(any_database, clock)
    heal(any_database, CONTEXT.project_id, CLOCK)
    before = usages(any_database, CONTEXT.project_id)
    with any_database.write() as uow:
        uow.checkpoints.get(made.id).counted = False
    assert heal(any_database, CONTEXT.project_id, CLOCK) == {
        CHECKPOINTS: (before[CHECKPOINTS], before[CHECKPOINTS] - 1)
    }
    run_task(env_of(any_database, clock), ref)
    assert usages(any_database, CONTEXT.project_id)[CHECKPOINTS] == before[CHECKPOINTS]
    assert heal(any_database, CONTEXT.project_id, CLOCK) == {}


def test_nothing_is_wrong_while_many_take_give_and_count(any_database: Database, project: str) -> None:
    """Three engines at once, beside requests."""

    def make(number: int) -> None:
        with any_database.write() as uow:
            plan = uow.plans.add(rows.plan(project_id=project))
            quota.Quotas(uow, quota.QuotaOptions()).take(project, plans=1)
        if number % 2:
            with any_database.write() as uow:
                uow.plans.delete(uow.plans.get(plan.id, lock=True))
                quota.give(uow, project, plans=1)

    def audit(number: int) -> object:
        return [heal(any_database, project, CLOCK) for _ in range(5)]

    with ThreadPoolExecutor(11) as pool:
        audits = [pool.submit(audit, number) for number in range(3)]
        list(pool.map(make, range(40)))
        found = [each.result() for each in audits]
    assert found == [[{}] * 5] * 3
    assert usages(any_database, project) == {PLANS: 20}


def test_a_walk_takes_a_batch_a_round_and_then_rests(any_database: Database) -> None:
    clock, projects = ManualClock(), sorted(new_id() for _ in range(7))
    for project in projects:
        with any_database.write() as uow:
            uow.quotas.take(project, PLANS, 5)
    audit = UsageAudit(any_database, clock, batch=3)
    healed = [audit.run_once() for _ in range(60)]
    assert sum(healed) >= 7 and max(healed) <= 3
    assert all(usages(any_database, project) == {} for project in projects)
    with any_database.write() as uow:
        uow.quotas.take(projects[0], PLANS, 1)
    assert [audit.run_once() for _ in range(10)] == [0] * 10
    clock.advance(REST_S)
    assert sum(audit.run_once() for _ in range(60)) == 1


def test_an_operator_looks_and_counts_anew(tmp_path: Path, chosen_url: str) -> None:
    options, project = ("--config-file", str(config(tmp_path, "", chosen_url))), new_id()

    def manage(*words: str) -> Any:
        done = run("manage", *options, *words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    database = Database(chosen_url)
    with database.write() as uow:
        uow.plans.add(rows.plan(project_id=project))
        uow.quotas.take(project, PLANS, 3)
    database.dispose()
    assert manage("quota", "show", "--project", project)[PLANS] == {"limit": 50, "in_use": 3}
    assert manage("quota", "recount") == {project: {PLANS: {"said": 3, "in_use": 1}}}
    assert manage("quota", "recount", "--project", project) == {}
    assert manage("quota", "show", "--project", project)[PLANS]["in_use"] == 1
