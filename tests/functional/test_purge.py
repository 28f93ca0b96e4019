"""What was over long ago goes for good, and nothing that anything living refers to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from protectd.common.ids import new_id
from protectd.domain.purge import Purge, purge
from protectd.engine.purge import REST_S, ExpiredKeys, Purger
from protectd.model.models import (
    Acl,
    Checkpoint,
    CheckpointResource,
    Container,
    ContainerSecret,
    IdempotencyKey,
    Instance,
    Occurrence,
    Order,
    Plan,
    PlanResource,
    ScheduledOperation,
    Secret,
    SecretConsumer,
    Service,
    Task,
    Trigger,
    Vault,
)
from protectd.model.unit_of_work import Database
from tests.fakes import rows
from tests.fakes.clock import ManualClock

pytest_plugins = ["tests.fakes.databases"]

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
BEFORE = NOW - timedelta(days=30)
OLD = NOW - timedelta(days=31)
YOUNG = NOW - timedelta(days=29)


def add(database: Database, *entities: Any) -> None:
    """In an order that foreign keys allow."""
    for entity in entities:
        with database.write() as uow:
            uow.session.add(entity)


def left(database: Database, model: Any) -> set[Any]:
    with database.read() as uow:
        return set(uow.session.scalars(select(model.id)))


def instance(**values: Any) -> Instance:
    id = new_id()
    return Instance(id=id, project_id="p", type="directory", name="n", deleted_marker=id, **values)


def secret(**values: Any) -> Secret:
    return Secret(id=new_id(), project_id="p", store="crypto", key_id="k", cipher_text=b"", **values)


def key(**values: Any) -> IdempotencyKey:
    return IdempotencyKey(id=new_id(), body_digest="d", **values)


def deleted(at: datetime) -> dict[str, Any]:
    return {"deleted": True, "deleted_at": at}


def test_ended_tasks_go_and_those_that_live_stay(any_database: Database) -> None:
    gone = [rows.task(state=state, ended_at=OLD) for state in ("done", "failed", "cancelled")]
    stay = [rows.task(state="done", ended_at=YOUNG), rows.task(created_at=OLD)]
    stay += [rows.task(state="running", created_at=OLD, started_at=OLD)]
    add(any_database, *gone, *stay)
    expected = {task.id for task in stay}
    assert purge(any_database, BEFORE) == {"tasks": 3}
    assert left(any_database, Task) == expected
    assert purge(any_database, BEFORE) == {}


def test_keys_of_requests_and_removed_services_go(any_database: Database) -> None:
    young = key(created_at=YOUNG)
    add(any_database, key(created_at=OLD), young)
    add(
        any_database,
        Service(host="a", binary="b", **deleted(OLD)),
        Service(host="b", binary="b", **deleted(YOUNG)),
    )
    add(any_database, Service(host="c", binary="b", created_at=OLD, updated_at=OLD))
    kept = young.id
    assert purge(any_database, BEFORE) == {"idempotency_keys": 1, "services": 1}
    assert left(any_database, IdempotencyKey) == {kept}


def test_a_deleted_plan_goes_with_its_resources_and_a_living_one_loses_only_its_former_ones(
    any_database: Database,
) -> None:
    dead = rows.plan(**deleted(OLD))
    alive = rows.plan()
    add(any_database, dead, alive)
    former, present = rows.resource(plan_id=alive.id, **deleted(OLD)), rows.resource(plan_id=alive.id)
    add(any_database, rows.resource(plan_id=dead.id), former, present)
    expected = ({alive.id}, {present.id})
    assert purge(any_database, BEFORE) == {"plans": 1, "resources": 2}
    assert (left(any_database, Plan), left(any_database, PlanResource)) == expected


def test_a_deleted_checkpoint_goes_with_what_it_is_made_of(any_database: Database) -> None:
    plan = rows.plan(resources=[rows.resource()])
    add(any_database, plan)
    gone = rows.checkpoint(plan, status="deleted", deleted_at=OLD)
    stay = rows.checkpoint(plan, status="deleted", deleted_at=YOUNG)
    add(any_database, gone, stay)
    kept = stay.id
    assert purge(any_database, BEFORE) == {"checkpoint_resources": 1, "checkpoints": 1}
    assert left(any_database, Checkpoint) == {kept}
    with any_database.read() as uow:
        assert uow.session.scalars(select(CheckpointResource.checkpoint_id)).all() == [kept]


@pytest.mark.parametrize("make", [rows.restore, rows.verification], ids=["restores", "verifications"])
def test_what_was_proved_of_a_checkpoint_goes_with_it(
    any_database: Database, make: Callable[..., Any]
) -> None:
    """Nobody deletes it: without this, what is verified each night would keep its row for ever."""
    plan = rows.plan(resources=[rows.resource()])
    add(any_database, plan)
    gone = rows.checkpoint(plan, status="deleted", deleted_at=OLD)
    stays = [rows.checkpoint(plan, status="deleted", deleted_at=YOUNG), rows.checkpoint(plan)]
    add(any_database, gone, *stays)
    ended = {"status": "success", "ended_at": OLD}
    over = make(checkpoint_id=gone.id, **ended)
    told = [make(checkpoint_id=each.id, **ended) for each in stays]
    add(any_database, over, *told)
    kept = {each.id for each in told}, {each.id for each in stays}
    table = type(over).__tablename__
    assert purge(any_database, BEFORE) == {"checkpoint_resources": 1, "checkpoints": 1, table: 1}
    assert (left(any_database, type(over)), left(any_database, Checkpoint)) == kept


def test_a_run_that_ended_lately_keeps_its_checkpoint(any_database: Database) -> None:
    plan = rows.plan(resources=[rows.resource()])
    add(any_database, plan)
    checkpoint = rows.checkpoint(plan, status="deleted", deleted_at=OLD)
    add(any_database, checkpoint)
    add(any_database, rows.restore(checkpoint_id=checkpoint.id, status="fail", ended_at=YOUNG))
    assert purge(any_database, BEFORE) == {}


Needing = Callable[[str], Any]


@pytest.mark.parametrize(
    "living",
    [
        lambda id: rows.restore(checkpoint_id=id, status="success"),
        lambda id: rows.verification(checkpoint_id=id, status="fail"),
        lambda id: rows.checkpoint(rows.plan(), source_id=id),
        lambda id: rows.task(checkpoint_id=id, state="running"),
        lambda id: rows.task(checkpoint_id=id, state="pending"),
    ],
    ids=["restore", "verification", "copy", "running task", "waiting task"],
)
def test_a_deleted_checkpoint_stays_while_something_living_refers_to_it(
    any_database: Database, living: Needing
) -> None:
    plan = rows.plan(resources=[rows.resource()])
    add(any_database, plan)
    checkpoint = rows.checkpoint(plan, status="deleted", deleted_at=OLD)
    add(any_database, checkpoint)
    needing = living(checkpoint.id)
    add(any_database, needing)
    assert purge(any_database, BEFORE) == {}
    with any_database.write() as uow:
        uow.session.delete(uow.session.get_one(type(needing), needing.id))
    assert purge(any_database, BEFORE) == {"checkpoint_resources": 1, "checkpoints": 1}


def test_a_deleted_plan_stays_while_it_has_a_checkpoint(any_database: Database) -> None:
    plan = rows.plan(resources=[rows.resource()], **deleted(OLD))
    add(any_database, plan)
    checkpoint = rows.checkpoint(plan, status="available")
    add(any_database, checkpoint)
    assert purge(any_database, BEFORE) == {}
    with any_database.write() as uow:
        uow.session.get_one(Checkpoint, checkpoint.id).deleted_at = OLD
    assert purge(any_database, BEFORE).keys() == {
        "checkpoints",
        "checkpoint_resources",
        "plans",
        "resources",
    }


def test_a_deleted_instance_stays_while_a_plan_or_a_checkpoint_has_it(any_database: Database) -> None:
    free, planned, saved = (instance(**deleted(OLD)) for _ in range(3))
    add(any_database, free, planned, saved)
    add(any_database, rows.plan(resources=[rows.resource(resource_id=planned.id)]))
    once = rows.plan(resources=[rows.resource(resource_id=saved.id)])
    add(any_database, once)
    add(any_database, rows.checkpoint(once, status="available"))
    with any_database.write() as uow:
        resource = uow.plans.get(once.id).resources[0]
        resource.deleted, resource.deleted_at = True, YOUNG
    expected = {planned.id, saved.id}
    assert purge(any_database, BEFORE) == {"instances": 1}
    assert left(any_database, Instance) == expected


def test_a_deleted_secret_stays_while_a_vault_or_a_consumer_has_it(any_database: Database) -> None:
    free, opening, used = (secret(**deleted(OLD)) for _ in range(3))
    add(any_database, free, opening, used)
    vault = Vault(id=new_id(), provider_id=new_id(), project_id="p", secret_id=opening.id, **deleted(OLD))
    add(any_database, vault, SecretConsumer.of(used.id, "protectd", "vault", "v"))
    expected = {opening.id, used.id}, {vault.id}
    assert purge(any_database, BEFORE) == {"secrets": 1}
    assert (left(any_database, Secret), left(any_database, Vault)) == expected


def test_a_secret_that_expired_goes_with_all_that_hangs_on_it(any_database: Database) -> None:
    old, used, young, never = (secret(expiration=at) for at in (OLD, OLD, YOUNG, None))
    add(any_database, old, used, young, never)
    with any_database.write() as uow:
        for each in (old, never):
            uow.acls.put(each.id, "secret", project_access=False, users=["u", "v"])
            uow.secrets.replace_notes(each.id, {"a": "b"})
        uow.session.add(SecretConsumer.of(used.id, "s", "t", "i"))
    expected = {"acl_users": 2, "acls": 1, "secret_metadata": 1, "secrets": 1}
    stay = {used.id, young.id, never.id}
    assert purge(any_database, BEFORE) == expected
    assert left(any_database, Secret) == stay and left(any_database, Acl) == {never.id}


def test_a_deleted_secret_stays_while_an_order_or_a_container_names_it(any_database: Database) -> None:
    ordered, contained, free = (secret(**deleted(OLD)) for _ in range(3))
    container = Container(id=new_id(), project_id="p", type="generic", secrets=[])
    container.secrets = [ContainerSecret(name="", secret_id=contained.id)]
    add(any_database, ordered, contained, free, container)
    add(any_database, order(secret_id=ordered.id), order(container_id=container.id))
    expected = {ordered.id, contained.id}
    assert purge(any_database, BEFORE) == {"secrets": 1}
    assert left(any_database, Secret) == expected


def test_deleted_orders_and_containers_go_and_what_they_named_after_them(any_database: Database) -> None:
    gone = secret(**deleted(OLD))
    container = Container(id=new_id(), project_id="p", type="rsa", **deleted(OLD))
    container.secrets = [ContainerSecret(name="private_key", secret_id=gone.id)]
    add(any_database, gone, container)
    young = order(**deleted(YOUNG))
    add(any_database, order(secret_id=gone.id, container_id=container.id, **deleted(OLD)), young)
    expected = {young.id}
    assert purge(any_database, BEFORE) == {"container_secrets": 1, "containers": 1, "orders": 1, "secrets": 1}
    assert left(any_database, Order) == expected


def order(**values: Any) -> Order:
    return Order(id=new_id(), project_id="p", type="key", meta={}, **values)


def test_what_was_scheduled_goes_when_its_time_is_over(any_database: Database) -> None:
    trigger = Trigger(id=new_id(), name="t", project_id="p", type="time", properties={}, **deleted(OLD))
    used = Trigger(id=new_id(), name="t", project_id="p", type="time", properties={}, **deleted(OLD))
    gone, kept = scheduled(trigger, **deleted(OLD)), scheduled(used)
    add(any_database, trigger, used, gone, kept)
    young, waits = occurrence(kept, YOUNG), occurrence(kept, OLD, "waiting")
    add(any_database, occurrence(gone, OLD), occurrence(kept, OLD), young, waits)
    expected = {young.id, waits.id}
    assert purge(any_database, BEFORE) == {"occurrences": 2, "scheduled_operations": 1, "triggers": 1}
    assert left(any_database, Occurrence) == expected


def test_what_waited_for_an_operation_that_was_deleted_keeps_nothing_for_ever(any_database: Database) -> None:
    trigger = Trigger(id=new_id(), name="t", project_id="p", type="event", properties={}, **deleted(OLD))
    gone = scheduled(trigger, **deleted(OLD))
    add(any_database, trigger, gone)
    add(any_database, occurrence(gone, OLD, "waiting"))
    assert purge(any_database, BEFORE) == {"occurrences": 1, "scheduled_operations": 1, "triggers": 1}


def scheduled(trigger: Trigger, **values: Any) -> ScheduledOperation:
    return ScheduledOperation(
        id=new_id(),
        name="o",
        operation_type="protect",
        project_id="p",
        user_id="u",
        trigger_id=trigger.id,
        operation_definition={},
        **values,
    )


def occurrence(operation: ScheduledOperation, decided_at: datetime, outcome: str = "ran") -> Occurrence:
    return Occurrence(
        id=new_id(),
        project_id="p",
        scheduled_operation_id=operation.id,
        trigger_id=operation.trigger_id,
        key=new_id(),
        expected_at=decided_at,
        decided_at=decided_at,
        outcome=outcome,
    )


@pytest.mark.parametrize("batch", [1, 3, 7, 20, 21, 100])
def test_every_row_is_looked_at_once_whatever_the_batch(any_database: Database, batch: int) -> None:
    tasks = [rows.task(state="done", ended_at=OLD if number % 3 else YOUNG) for number in range(21)]
    add(any_database, *tasks)
    assert purge(any_database, BEFORE, batch) == {"tasks": 14}
    with any_database.read() as uow:
        assert uow.session.scalar(select(func.count()).select_from(Task)) == 7


def test_it_is_broken_off_and_begun_anew(any_database: Database) -> None:
    add(any_database, *(rows.task(state="done", ended_at=OLD) for _ in range(10)))
    first = Purge(any_database, BEFORE, batch=4)
    while not first.counts:
        first.step()
    assert first.counts == {"tasks": 4}
    assert purge(any_database, BEFORE, batch=4) == {"tasks": 6}


def test_the_engine_removes_a_batch_a_round_and_rests_after_each_walk(chosen_database: Database) -> None:
    clock = ManualClock()
    ended = clock.now() - timedelta(days=8)
    add(chosen_database, *(rows.task(state="done", ended_at=ended) for _ in range(5)))
    purger = Purger(chosen_database, clock, after_days=7, batch=2)
    seen = []
    while not seen or seen[-1]:
        purger.run_once()
        seen.append(len(left(chosen_database, Task)))
    assert all(before - after <= 2 for before, after in zip(seen, seen[1:], strict=False))
    for _ in range(20):
        purger.run_once()
    add(chosen_database, rows.task(state="done", ended_at=ended))
    purger.run_once()
    assert len(left(chosen_database, Task)) == 1
    clock.advance(REST_S)
    for _ in range(20):
        purger.run_once()
    assert left(chosen_database, Task) == set()


def test_the_engine_removes_keys_that_have_expired(any_database: Database) -> None:
    clock = ManualClock()
    valid = key(created_at=clock.now() - timedelta(hours=23))
    add(any_database, valid, *(key(created_at=clock.now() - timedelta(hours=25)) for _ in range(5)))
    chore, kept = ExpiredKeys(any_database, clock, batch=3), valid.id
    assert [chore.run_once() for _ in range(3)] == [3, 2, 0]
    assert left(any_database, IdempotencyKey) == {kept}
