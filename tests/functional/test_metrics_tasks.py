"""What becomes of tasks, in figures: each way that an attempt may end, and how much waits."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from protectd.cmd.prometheus import PrometheusMetrics
from protectd.common.errors import Cancelled, Unavailable
from protectd.common.metrics import Backlog
from protectd.engine.reconciler import Reconciler
from protectd.model.unit_of_work import Database
from protectd.tasks.env import TaskEnv
from protectd.tasks.errors import Stopping
from protectd.tasks.run import Run
from tests.fakes import rows
from tests.fakes.clock import ManualClock
from tests.fakes.tasks import Scripted, claim_and_vanish, env_of, new_checkpoint, run_task

pytest_plugins = ["tests.fakes.databases"]


class Counted:
    """A worker whose metrics can be read."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        self.registry = CollectorRegistry()
        self.env: TaskEnv = env_of(database, clock)
        self.env.metrics = PrometheusMetrics(self.registry, "protectd-worker", "1")

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"protectd_{name}", {"operation": "protect", **labels})


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def worker(chosen_database: Database, clock: ManualClock) -> Counted:
    return Counted(chosen_database, clock)


def failing(error: Exception) -> object:
    def work(run: Run) -> None:
        raise error

    return work


def test_a_good_end_tells_how_long_it_waited_and_how_long_it_took(
    worker: Counted, clock: ManualClock, chosen_database: Database
) -> None:
    checkpoint, ref = new_checkpoint(chosen_database, clock)
    with chosen_database.write() as uow:
        uow.tasks.get(ref.task_id).created_at = clock.now()
    clock.advance(7)
    run_task(worker.env, ref, lambda run: clock.advance(40))
    assert worker.value("task_claim_latency_seconds_sum") == 7
    assert worker.value("task_duration_seconds_sum", outcome="done") == 40
    assert worker.value("task_duration_seconds_count", outcome="done") == 1


@pytest.mark.parametrize(("error", "outcome"), [(ValueError("a bug"), "failed"), (Cancelled(), "cancelled")])
def test_a_bad_end_has_its_word(
    worker: Counted, clock: ManualClock, chosen_database: Database, error: Exception, outcome: str
) -> None:
    run_task(worker.env, new_checkpoint(chosen_database, clock)[1], failing(error))  # type: ignore[arg-type]
    assert worker.value("task_duration_seconds_count", outcome=outcome) == 1


@pytest.mark.parametrize(
    ("error", "reason"), [(Unavailable(what="the bank", reason="away"), "retry"), (Stopping(), "stop")]
)
def test_an_attempt_that_another_follows_says_why(
    worker: Counted, clock: ManualClock, chosen_database: Database, error: Exception, reason: str
) -> None:
    run_task(worker.env, new_checkpoint(chosen_database, clock)[1], failing(error))  # type: ignore[arg-type]
    assert worker.value("task_put_off_total", reason=reason) == 1
    assert worker.value("task_duration_seconds_count", outcome="failed") is None


def test_the_loser_of_a_lease_counts_it_and_no_end(
    worker: Counted, clock: ManualClock, chosen_database: Database
) -> None:
    def lose(run: Run) -> None:
        with chosen_database.write() as uow:
            uow.tasks.fence_owner("worker:", clock.now())

    run_task(worker.env, new_checkpoint(chosen_database, clock)[1], lose)
    assert worker.value("task_lease_losses_total") == 1
    assert worker.value("task_duration_seconds_count", outcome="done") is None


def test_a_task_of_a_lost_worker_counts_as_handed_over(
    worker: Counted, clock: ManualClock, chosen_database: Database
) -> None:
    claim_and_vanish(env_of(chosen_database, clock), new_checkpoint(chosen_database, clock)[1])
    operations = {"protect": lambda: Scripted(worker.env, lambda run: None)}
    reconciler = Reconciler(chosen_database, clock, operations, metrics=worker.env.metrics)
    reconciler.run_once()
    clock.advance(61)
    reconciler.run_once()
    assert worker.value("task_hand_overs_total") == 1


def test_the_backlog_is_counted_by_what_it_waits_for(any_database: Database) -> None:
    now = ManualClock().now()
    ago = now - timedelta(seconds=90)
    with any_database.read() as uow:
        assert uow.tasks.backlog(now) == Backlog(0, 0, 0, 0.0)
    with any_database.write() as uow:
        for state, not_before in (
            ("pending", None),
            ("pending", now - timedelta(seconds=30)),
            ("pending", now + timedelta(seconds=30)),
            ("running", None),
            ("done", None),
            ("failed", None),
        ):
            uow.tasks.add(rows.task(state=state, not_before=not_before, created_at=ago))
    with any_database.read() as uow:
        assert uow.tasks.backlog(now) == Backlog(waiting=2, delayed=1, running=1, oldest_s=90.0)


def test_only_who_counts_the_backlog_shows_one() -> None:
    registry = CollectorRegistry()
    metrics = PrometheusMetrics(registry, "protectd-engine", "1")
    assert registry.get_sample_value("protectd_oldest_waiting_task_seconds") is None
    metrics.backlog(Backlog(waiting=2, delayed=1, running=3, oldest_s=90.0))
    assert registry.get_sample_value("protectd_oldest_waiting_task_seconds") == 90
    assert registry.get_sample_value("protectd_tasks", {"state": "waiting"}) == 2
    metrics.backlog(Backlog(waiting=0, delayed=0, running=0, oldest_s=0.0))
    assert registry.get_sample_value("protectd_tasks", {"state": "waiting"}) == 0
