"""Tasks under contention: one claim at a time, and nothing written by who lost it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest

from protectd.common.ids import new_id
from protectd.model.base import utc_now
from protectd.model.models import Task
from protectd.model.repositories.base import Page
from protectd.model.repositories.leases import Lease
from protectd.model.repositories.tasks import TaskNotFound
from protectd.model.unit_of_work import Database, UnitOfWork
from tests.fakes import rows
from tests.fakes.rows import OTHER_PROJECT, PROJECT

pytest_plugins = ["tests.fakes.databases"]

NOW = utc_now()
LEASE_S = 60.0
THREADS = 8


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def add(database: Database, **values: Any) -> str:
    with database.write() as uow:
        return uow.tasks.add(rows.task(**({"created_at": later(-10)} | values))).id


def show(database: Database, task_id: str) -> Task:
    with database.read() as uow:
        return uow.tasks.get(task_id)


def claim(database: Database, task_id: str, token: str = "token", **values: Any) -> Task | None:
    wanted = {"owner": "host:1", "lease_s": LEASE_S, "now": NOW, "host": "host"} | values
    with database.write() as uow:
        return uow.tasks.claim(task_id, token=token, **wanted)


def at_once(database: Database, jobs: list[Callable[[UnitOfWork], Any]]) -> list[Any]:
    """Results of jobs that start at the same moment, each in a thread and unit of work of its own."""
    start = threading.Barrier(len(jobs))

    def run(job: Callable[[UnitOfWork], Any]) -> Any:
        start.wait()
        with database.write() as uow:
            return job(uow)

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))


def test_a_claim_takes_the_task_and_counts_the_attempt(any_database: Database) -> None:
    task_id = add(any_database)
    claimed = claim(any_database, task_id)
    assert claimed is not None
    assert (claimed.state, claimed.attempts, claimed.lease_owner) == ("running", 1, "host:1")
    assert (claimed.lease_token, claimed.lease_expires_at) == ("token", later(LEASE_S))
    assert claimed.started_at == NOW


def test_of_many_claims_at_once_one_wins(any_database: Database) -> None:
    for _ in range(10):
        task_id = add(any_database)
        found = at_once(any_database, [_claim_anew(task_id) for _ in range(THREADS)])
        winners = [task for task in found if task is not None]
        assert len(winners) == 1
        assert show(any_database, task_id).lease_token == winners[0].lease_token
        assert show(any_database, task_id).attempts == 1


def _claim_anew(task_id: str) -> Callable[[UnitOfWork], Task | None]:
    return lambda uow: uow.tasks.claim(task_id, "o", new_id(), LEASE_S, NOW, None)


def test_many_workers_on_many_tasks_run_each_once(any_database: Database) -> None:
    tasks = [add(any_database) for _ in range(20)]

    def work(uow: UnitOfWork) -> list[str]:
        return [id for id in tasks if uow.tasks.claim(id, "o", new_id(), LEASE_S, NOW, None)]

    assert sorted(sum(at_once(any_database, [work] * THREADS), [])) == sorted(tasks)


@pytest.mark.parametrize(
    ("values", "host", "won"),
    [
        ({"host": "a"}, "a", True),
        ({"host": "a"}, "b", False),
        ({"host": "a"}, None, False),
        ({"host": None}, "b", True),
        ({"not_before": later(1)}, "a", False),
        ({"not_before": NOW}, "a", True),
        ({"state": "done"}, "a", False),
        ({"cancel_requested_at": NOW}, "a", True),
    ],
)
def test_a_claim_asks_for_host_time_and_state(
    any_database: Database, values: dict[str, Any], host: str | None, won: bool
) -> None:
    task_id = add(any_database, **values)
    assert (claim(any_database, task_id, host=host) is not None) is won


def test_a_claim_of_what_is_not_there_is_lost(any_database: Database) -> None:
    assert claim(any_database, new_id()) is None


def test_a_lease_is_renewed_by_its_token_only(any_database: Database) -> None:
    task_id = add(any_database)
    claim(any_database, task_id)
    with any_database.write() as uow:
        assert uow.tasks.renew(task_id, "token", later(20), LEASE_S, {"phase": "save"}) == "held"
        assert uow.tasks.renew(task_id, "other", later(90), LEASE_S, {"phase": "wrong"}) == "lost"
    found = show(any_database, task_id)
    assert (found.lease_expires_at, found.progress) == (later(80), {"phase": "save"})
    with any_database.write() as uow:
        assert uow.tasks.renew(task_id, "token", later(30), LEASE_S) == "held"
    assert show(any_database, task_id).progress == {"phase": "save"}


def test_a_holder_learns_that_it_shall_end(any_database: Database) -> None:
    task_id = add(any_database)
    claim(any_database, task_id)
    with any_database.write() as uow:
        assert uow.tasks.request_cancel(task_id, later(1))
        assert uow.tasks.request_cancel(task_id, later(2))
        assert uow.tasks.renew(task_id, "token", later(3), LEASE_S) == "cancel"
        assert uow.tasks.finish(task_id, "token", "cancelled", later(4), outcome="error")
        assert not uow.tasks.request_cancel(task_id, later(5))
    found = show(any_database, task_id)
    assert (found.state, found.cancel_requested_at, found.ended_at) == ("cancelled", later(1), later(4))


def test_the_end_is_written_once_and_by_the_holder(any_database: Database) -> None:
    task_id = add(any_database)
    claim(any_database, task_id)
    with any_database.write() as uow:
        assert not uow.tasks.finish(task_id, "other", "done", NOW)
        assert uow.tasks.finish(task_id, "token", "done", NOW, outcome="available", progress={"p": 1})
        assert not uow.tasks.finish(task_id, "token", "failed", NOW, error_code="late")
    found = show(any_database, task_id)
    assert (found.state, found.outcome, found.error_code, found.progress) == (
        "done",
        "available",
        None,
        {"p": 1},
    )
    assert (found.lease_owner, found.lease_token, found.lease_expires_at) == (None, "token", None)


def test_a_task_given_back_waits_for_its_time_and_is_sent_anew(any_database: Database) -> None:
    task_id = add(any_database, sent_at=NOW, sent_count=3)
    claim(any_database, task_id)
    with any_database.write() as uow:
        assert uow.tasks.requeue(task_id, "token", later(30), NOW, error_code="away", error_message="x")
        assert not uow.tasks.requeue(task_id, "token", later(30), NOW)
    found = show(any_database, task_id)
    assert (found.state, found.attempts, found.error_code, found.sent_count) == ("pending", 1, "away", 0)
    assert claim(any_database, task_id, now=later(29)) is None
    with any_database.read() as uow:
        assert uow.tasks.unsent(later(29), 60, 10) == []
        assert [task.id for task in uow.tasks.unsent(later(31), 60, 10)] == [task_id]
    assert claim(any_database, task_id, now=later(31)).attempts == 2  # type: ignore[union-attr]


def test_a_run_broken_off_by_a_stop_is_no_attempt(any_database: Database) -> None:
    task_id = add(any_database)
    claim(any_database, task_id)
    with any_database.write() as uow:
        assert uow.tasks.requeue(task_id, "token", None, NOW, count_attempt=False)
    assert claim(any_database, task_id).attempts == 1  # type: ignore[union-attr]


def test_unsent_are_the_due_ones_without_a_message_on_its_way(any_database: Database) -> None:
    never = add(any_database)
    young = add(any_database, created_at=NOW)
    fresh = add(any_database, sent_at=later(-59), sent_count=1)
    stale = add(any_database, sent_at=later(-61), sent_count=1)
    twice = add(any_database, sent_at=later(-100), sent_count=2)
    twice_stale = add(any_database, sent_at=later(-121), sent_count=2)
    often = add(any_database, sent_at=later(-481), sent_count=50)
    add(any_database, not_before=later(5))
    add(any_database, state="running")
    add(any_database, state="done")
    with any_database.read() as uow:
        found = {task.id for task in uow.tasks.unsent(NOW, 60, 100)}
        assert found == {never, stale, twice_stale, often}
        assert {young, fresh, twice}.isdisjoint(found)
        assert len(uow.tasks.unsent(NOW, 60, 2)) == 2
        assert young in {task.id for task in uow.tasks.unsent(later(2), 60, 100)}


def test_a_sent_message_is_noted_while_the_task_waits(any_database: Database) -> None:
    task_id = add(any_database, updated_at=NOW)
    with any_database.write() as uow:
        assert uow.tasks.mark_sent(task_id, NOW)
        assert uow.tasks.mark_sent(task_id, later(1))
    assert (show(any_database, task_id).sent_at, show(any_database, task_id).sent_count) == (later(1), 2)
    claim(any_database, task_id)
    with any_database.write() as uow:
        assert not uow.tasks.mark_sent(task_id, later(2))


def test_a_task_that_came_back_after_it_was_sent_counts_as_unsent(any_database: Database) -> None:
    task_id = add(any_database, updated_at=NOW)
    claim(any_database, task_id, now=later(2))
    with any_database.write() as uow:
        assert uow.tasks.requeue(task_id, "token", None, later(3))
        assert not uow.tasks.mark_sent(task_id, later(1))
    assert show(any_database, task_id).sent_at is None


def test_a_lost_lease_is_released_once(any_database: Database) -> None:
    task_id = add(any_database)
    claim(any_database, task_id)
    (seen,) = held(any_database, leases(any_database))
    jobs = [lambda uow: uow.tasks.release_lost(seen, later(61))] * THREADS
    assert sorted(at_once(any_database, jobs)) == [False] * (THREADS - 1) + [True]
    with any_database.write() as uow:
        assert uow.tasks.renew(task_id, "token", later(62), LEASE_S) == "lost"
        assert not uow.tasks.finish(task_id, "token", "done", later(62))
    again = claim(any_database, task_id, "second", now=later(63))
    assert again is not None and again.attempts == 2
    with any_database.write() as uow:
        assert not uow.tasks.release_lost(seen, later(500))


def test_a_renewal_that_comes_before_the_reconciler_keeps_the_task(any_database: Database) -> None:
    task_id = add(any_database)
    claim(any_database, task_id)
    before = leases(any_database)
    (seen,) = held(any_database, before)
    ended = {"outcome": None, "error_code": "x", "error_message": "x"}
    with any_database.write() as uow:
        assert uow.tasks.renew(task_id, "token", later(61), LEASE_S) == "held"
        assert not uow.tasks.release_lost(seen, later(62))
        assert not uow.tasks.end_unheld(seen, "failed", later(62), **ended)
    assert held(any_database, before) == []
    assert leases(any_database) != before


@pytest.mark.parametrize("any_url", ["postgresql", "mariadb"], indirect=True)
def test_a_row_that_another_is_just_changing_is_left_to_it(any_database: Database) -> None:
    """SQLite has one writer at a time: there, the reconciler comes after it."""
    task_id = add(any_database)
    claim(any_database, task_id)
    seen = leases(any_database)
    with any_database.write() as other:
        assert other.tasks.finish(task_id, "token", "done", NOW)
        assert held(any_database, seen) == []


def leases(database: Database) -> list[Lease]:
    with database.read() as uow:
        return uow.tasks.leases()


def held(database: Database, seen: list[Lease]) -> list[Task]:
    with database.write() as uow:
        return uow.tasks.held(seen)


def test_end_hand_over_and_renewal_at_once_have_one_winner(any_database: Database) -> None:
    """Whoever comes first; a renewal may come before one of the others, so it is no rival to them."""
    for _ in range(8):
        task_id = add(any_database)
        claim(any_database, task_id)
        with any_database.read() as uow:
            seen = uow.tasks.get(task_id)
        done, *others, _ = at_once(any_database, _rivals(seen, later(61)))
        assert [done, *others].count(True) == 1
        found = show(any_database, task_id)
        expected = "done" if done else "failed" if others[-1] else "pending"
        assert (found.state, found.lease_owner) == (expected, None)
        assert (found.lease_token is not None) == bool(done), "the token of who has ended it stays"


def _rivals(seen: Task, now: datetime) -> list[Callable[[UnitOfWork], Any]]:
    lost = {"outcome": "error", "error_code": "task.lost", "error_message": "lost"}
    return [
        lambda uow: uow.tasks.finish(seen.id, "token", "done", now, outcome="available"),
        lambda uow: uow.tasks.requeue(seen.id, "token", now, now),
        lambda uow: uow.tasks.release_lost(seen, now),
        lambda uow: uow.tasks.end_unheld(seen, "failed", now, **lost),
        lambda uow: uow.tasks.renew(seen.id, "token", now, LEASE_S),
    ]


def test_a_former_boot_is_fenced_off_at_once(any_database: Database) -> None:
    owners = ["host:1", "host:2", "host_:1", "other:1"]
    tasks = [add(any_database) for _ in owners]
    for task_id, owner in zip(tasks, owners, strict=True):
        claim(any_database, task_id, owner=owner)
    with any_database.write() as uow:
        assert uow.tasks.fence_owner("host:", later(1), keep="host:2") == 1
    with any_database.write() as uow:
        assert [each.task_id for each in uow.tasks.leases() if each.expires_at is None] == [tasks[0]]
        assert uow.tasks.renew(tasks[0], "token", later(2), LEASE_S) == "lost"
        assert uow.tasks.renew(tasks[1], "token", later(2), LEASE_S) == "held"


def test_the_history_shows_what_users_asked_for(any_database: Database) -> None:
    protect = add(any_database, outcome="available", checkpoint_id="c" * 36)
    delete = add(any_database, operation="delete", created_at=later(-5))
    prune = add(any_database, operation="prune")
    add(any_database, project_id=OTHER_PROJECT)
    with any_database.read() as uow:
        assert [task.id for task in uow.tasks.history(Page(10), PROJECT)] == [delete, protect]
        assert len(uow.tasks.history(Page(10))) == 3
        for wanted in ({"status": "available"}, {"checkpoint_id": "c" * 36}):
            assert [task.id for task in uow.tasks.history(Page(10), PROJECT, wanted)] == [protect]
        assert uow.tasks.get_logged(delete, PROJECT).id == delete
        for hidden in (prune, new_id()):
            with pytest.raises(TaskNotFound):
                uow.tasks.get_logged(hidden, PROJECT)


def test_the_tasks_of_an_entity_are_found(any_database: Database) -> None:
    entity = new_id()
    add(any_database, entity_id=entity, state="done", created_at=later(-20))
    running = add(any_database, entity_id=entity, state="running")
    with any_database.read() as uow:
        assert [task.id for task in uow.tasks.live("checkpoint", entity)] == [running]
        assert uow.tasks.of_entities("checkpoint", [entity])[entity].id == running
        assert uow.tasks.of_entities("checkpoint", []) == {}
