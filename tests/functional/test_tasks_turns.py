"""A worker that goes by turns: messages say that there is something, the database says what."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from protectd.common.context import RequestContext
from protectd.common.errors import Cancelled
from protectd.model.repositories.waiting import Limits
from protectd.model.states import CheckpointStatus
from protectd.model.unit_of_work import Database
from protectd.tasks.env import TaskEnv
from protectd.tasks.errors import EntityNotReady, LeaseLost
from protectd.tasks.run import Run
from tests.fakes import rows
from tests.fakes.clock import ManualClock
from tests.fakes.tasks import (
    CONTEXT,
    Scripted,
    claim_and_vanish,
    env_of,
    new_checkpoint,
    task_of,
)

pytest_plugins = ["tests.fakes.databases"]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def env(any_database: Database, clock: ManualClock) -> TaskEnv:
    return replace(env_of(any_database, clock), in_turn=True)


class Worker:
    """Takes down which tasks it has run."""

    def __init__(self, env: TaskEnv) -> None:
        self.env = env
        self.ran: list[str] = []
        self.work = lambda run: None

    def hear(self, task_id: str, context: RequestContext = CONTEXT) -> None:
        Scripted(self.env, self._work).process_and_suppress_exceptions(context, task_id)

    def _work(self, run: Run) -> None:
        self.ran.append(run.task_id)
        self.work(run)


def submitted(env: TaskEnv, clock: ManualClock, count: int) -> list[str]:
    ids = []
    for _ in range(count):
        ids.append(new_checkpoint(env.database, clock)[1].task_id)
        clock.advance(0.001)
    return ids


def test_one_message_runs_all_that_wait_in_the_order_of_their_turns(env, clock):
    ids = submitted(env, clock, 4)
    worker = Worker(env)
    worker.hear(ids[2])
    assert worker.ran == ids


def test_a_message_whose_task_is_done_is_nobodys_business(env, clock):
    ids = submitted(env, clock, 2)
    worker = Worker(env)
    worker.hear(ids[0])
    worker.hear(ids[1])
    assert worker.ran == ids


def test_a_task_whose_row_someone_else_holds_is_waited_for(env, clock):
    (id,) = submitted(env, clock, 1)
    worker = Worker(env)
    hears = threading.Thread(target=worker.hear, args=[id])
    with env.database.write() as uow:
        assert uow.tasks.mark_sent(id, clock.now())
        hears.start()
        hears.join(0.5)
    hears.join()
    assert worker.ran == [id]


@pytest.mark.parametrize(
    "context", [replace(CONTEXT, project_id=rows.OTHER_PROJECT), replace(CONTEXT, project_id="")]
)
def test_a_message_of_another_project_moves_nothing(env, clock, context):
    (id,) = submitted(env, clock, 1)
    worker = Worker(env)
    worker.hear(id, context)
    worker.hear("no-such-task")
    assert worker.ran == []


def test_a_task_whose_lease_was_lost_is_not_begun_twice_in_one_process(env, clock):
    (id,) = submitted(env, clock, 1)
    worker = Worker(env)
    attempts = []

    def work(run: Run) -> None:
        """While it runs, its lease is taken from it and it is announced again, here too."""
        attempts.append(run.attempt)
        with env.database.write() as uow:
            uow.tasks.fence_owner(env.owner, clock.now())
        with env.database.write() as uow:
            (lost,) = uow.tasks.held(uow.tasks.leases())
            assert uow.tasks.release_lost(lost, clock.now())
        thread = threading.Thread(target=worker.hear, args=[id])
        thread.start()
        thread.join()
        worker.work = lambda run: None
        raise LeaseLost(task_id=run.task_id)

    worker.work = work
    worker.hear(id)
    assert attempts == [1]
    assert task_of_id(env, id).attempts == 2
    assert task_of_id(env, id).state == "done"


def task_of_id(env: TaskEnv, task_id: str):
    with env.database.read() as uow:
        return uow.tasks.get(task_id)


def test_a_disabled_worker_gives_the_message_back(env, clock):
    (id,) = submitted(env, clock, 1)
    with env.database.write() as uow:
        uow.tasks.mark_sent(id, clock.now())
    env.disabled.set()
    worker = Worker(env)
    worker.hear(id)
    assert worker.ran == []
    assert task_of_id(env, id).sent_at is None


def test_who_waits_for_room_runs_when_it_is_free_and_has_lost_no_attempt(env, clock):
    limited = replace(env, options=replace(env.options, limits=Limits(per_project=1)))
    ids = submitted(env, clock, 3)
    worker, other = Worker(limited), Worker(limited)
    begun, go = threading.Event(), threading.Event()

    def wait(run: Run) -> None:
        begun.set()
        assert go.wait(20)

    worker.work = wait
    thread = threading.Thread(target=worker.hear, args=[ids[0]])
    thread.start()
    assert begun.wait(20)
    other.hear(ids[1])
    other.hear(ids[2])
    assert other.ran == []
    go.set()
    thread.join()
    assert worker.ran == ids
    assert [task_of_id(env, id).attempts for id in ids] == [1, 1, 1]


def test_a_waiting_task_that_was_asked_to_end_is_ended_by_the_next_claim(env, clock):
    (id,) = submitted(env, clock, 1)
    with env.database.write() as uow:
        uow.tasks.request_cancel(id, clock.now())
    worker = Worker(env)
    worker.hear(id)
    assert worker.ran == []
    assert (task_of_id(env, id).state, task_of_id(env, id).error_code) == ("cancelled", Cancelled.code)


def test_work_without_a_sign_of_life_loses_its_lease(env, clock):
    (id,) = submitted(env, clock, 1)
    worker = Worker(env)
    seen = []

    def hang(run: Run) -> None:
        clock.advance(env.options.stall_s)
        run.keeper.beat()
        seen.append(task_of_id(env, id).lease_expires_at)
        clock.advance(env.options.lease_s)
        run.keeper.beat()
        seen.append(run.keeper.lost)

    worker.work = hang
    worker.hear(id)
    assert seen[0] < clock.now()
    assert seen[1] is True
    assert task_of_id(env, id).state == "running"


def test_work_that_reports_keeps_its_lease_however_long_it_takes(env, clock):
    (id,) = submitted(env, clock, 1)
    worker = Worker(env)

    def slow(run: Run) -> None:
        for _ in range(10):
            clock.advance(env.options.lease_s / 2)
            run.progress.check()
            run.keeper.beat()

    worker.work = slow
    worker.hear(id)
    assert task_of_id(env, id).state == "done"


def test_a_running_task_ends_at_its_deadline(env, clock):
    (id,) = submitted(env, clock, 1)
    with env.database.write() as uow:
        uow.tasks.get(id).deadline_at = clock.now()
    worker = Worker(env)

    def slow(run: Run) -> None:
        clock.advance(env.options.lease_s / 2)
        run.keeper.beat()
        run.progress.check()

    worker.work = slow
    worker.hear(id)
    assert (task_of_id(env, id).state, task_of_id(env, id).error_code) == ("failed", "task.deadline_passed")


def test_a_task_of_another_project_that_has_vanished_blocks_nobody(env, clock):
    checkpoint, ref = new_checkpoint(env.database, clock)
    claim_and_vanish(env, ref)
    (id,) = submitted(env, clock, 1)
    worker = Worker(env)
    worker.hear(id)
    assert worker.ran == [id]
    assert task_of(env.database, ref).state == "running"


def test_what_keeps_the_next_from_its_begin_is_its_own_end_and_nobody_elses(env, clock):
    first, broken, last = submitted(env, clock, 3)
    with env.database.write() as uow:
        uow.checkpoints.get(task_of_id(env, broken).entity_id).status = CheckpointStatus.DELETED
    worker = Worker(env)
    worker.hear(first)
    assert worker.ran == [first, last]
    ends = [(task_of_id(env, id).state, task_of_id(env, id).error_code) for id in (first, broken, last)]
    assert ends == [("done", None), ("failed", EntityNotReady.code), ("done", None)]


class Faulty(Scripted):
    """Has a fault in its begin."""

    def handle_begin(self, uow, checkpoint, run):
        super().handle_begin(uow, checkpoint, run)
        raise ZeroDivisionError


def test_a_fault_of_the_program_in_a_begin_is_a_visible_end_and_an_attempt(env, clock):
    (id,) = submitted(env, clock, 1)
    Faulty(env, lambda run: None).process_and_suppress_exceptions(CONTEXT, id)
    task = task_of_id(env, id)
    assert (task.state, task.attempts, task.error_code) == ("failed", 1, "internal")
    with env.database.read() as uow:
        assert uow.checkpoints.get(task.entity_id).status == CheckpointStatus.ERROR


def test_who_has_lost_its_lease_claims_nothing_with_its_end(env, clock):
    first, second = submitted(env, clock, 2)
    worker = Worker(env)

    def lose(run: Run) -> None:
        with env.database.write() as uow:
            uow.tasks.fence_owner(env.owner, clock.now())
        worker.work = lambda run: None

    worker.work = lose
    worker.hear(first)
    assert task_of_id(env, first).state == "running"
    assert task_of_id(env, second).state == "done"
    assert task_of_id(env, second).attempts == 1


def test_a_task_that_ends_at_once_costs_no_thread_and_one_that_takes_its_time_is_kept(env, clock):
    quick, slow = submitted(env, clock, 2)
    worker, names = Worker(env), []

    def look(run: Run) -> None:
        if run.task_id == slow:
            assert _comes_to(lambda: f"lease-{slow[:8]}" in _threads())
        names.extend(_threads())

    worker.work = look
    worker.hear(quick)
    assert f"lease-{quick[:8]}" not in names
    assert f"lease-{slow[:8]}" in names


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def _comes_to(be: Callable[[], bool]) -> bool:
    for _ in range(2000):
        if be():
            return True
        threading.Event().wait(0.01)
    return False


def test_an_end_does_not_wait_for_the_entity_of_the_next(env, clock):
    if env.database.engine.dialect.name == "sqlite":
        return  # one writer at a time anyway
    first, held = submitted(env, clock, 2)
    worker = Worker(env)
    hears = threading.Thread(target=worker.hear, args=[first])
    with env.database.write() as uow:
        uow.checkpoints.get(task_of_id(env, held).entity_id, lock=True)
        hears.start()
        assert _comes_to(lambda: task_of_id(env, held).state == "running")
        assert task_of_id(env, first).state == "done"
    hears.join()
    assert worker.ran == [first, held]
    assert task_of_id(env, held).attempts == 1
