"""Tasks that take no time: one thread claims, begins and ends several of them at once, on each database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import timedelta

import pytest

from protectd.common.ids import new_id
from protectd.domain.quota import QuotaOptions, Quotas
from protectd.domain.submission import Submission
from protectd.model.models import Checkpoint, Restore, Task
from protectd.model.repositories.quotas import CHECKPOINTS, OPERATIONS
from protectd.model.repositories.waiting import Claimer, Limits
from protectd.model.states import CheckpointStatus, MoveNotAllowed, ResourceStatus, RunStatus, move_all
from protectd.model.unit_of_work import Database
from protectd.tasks.env import TaskEnv
from protectd.tasks.hold import TOGETHER
from protectd.tasks.noop import SIMULATED, SimulatedProtect
from protectd.tasks.operations import makers
from protectd.tasks.run import Run
from tests.fakes import rows
from tests.fakes.clock import ManualClock
from tests.fakes.statements import counted
from tests.fakes.tasks import CONTEXT, env_of, new_checkpoint

pytest_plugins = ["tests.fakes.databases"]

BY = Claimer("o", "here", 60)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


class Protecting(SimulatedProtect):
    """Takes down which tasks it has run, and does what a test says in between."""

    ran: list[str]
    work: Callable[[Run], None]

    def handle_processing(self, run: Run) -> None:
        super().handle_processing(run)
        self.ran.append(run.task_id)
        type(self).work(run)


@pytest.fixture
def protecting() -> type[Protecting]:
    class Own(Protecting):
        ran: list[str] = []
        work = staticmethod(lambda run: None)

    return Own


@pytest.fixture
def env(any_database: Database, clock: ManualClock, protecting: type[Protecting]) -> TaskEnv:
    made = replace(env_of(any_database, clock), in_turn=True, is_brief=True)
    made.operations = makers(made, [task for task in SIMULATED if task.operation != "protect"] + [protecting])
    return made


def hear(env: TaskEnv, task_id: str) -> None:
    env.operations["protect"]().process_and_suppress_exceptions(CONTEXT, task_id)


def submitted(env: TaskEnv, clock: ManualClock, count: int, **values: object) -> list[str]:
    ids = []
    for _ in range(count):
        ids.append(new_checkpoint(env.database, clock, **values)[1].task_id)
        clock.advance(0.001)
    return ids


def new_restore(env: TaskEnv, clock: ManualClock, checkpoint: Checkpoint) -> tuple[Restore, str]:
    with env.database.write() as uow:
        restore = uow.restores.add(rows.restore(checkpoint_id=checkpoint.id))
        submission = Submission(uow, CONTEXT, clock)
        submission.process_restore(restore)
    return restore, submission.submitted[0].task_id


def new_delete(env: TaskEnv, clock: ManualClock, checkpoint: Checkpoint) -> str:
    with env.database.write() as uow:
        deleted = uow.checkpoints.get(checkpoint.id)
        deleted.status = CheckpointStatus.DELETING
        submission = Submission(uow, CONTEXT, clock)
        submission.process_delete(deleted)
    return submission.submitted[0].task_id


def task_of(env: TaskEnv, task_id: str) -> Task:
    with env.database.read() as uow:
        return uow.tasks.get(task_id)


def checkpoint_of(env: TaskEnv, task_id: str) -> Checkpoint:
    with env.database.read() as uow:
        return uow.checkpoints.get(uow.tasks.get(task_id).entity_id)


def states(env: TaskEnv, ids: list[str]) -> list[str]:
    return [task_of(env, id).state for id in ids]


def usage(env: TaskEnv) -> dict[str, int]:
    with env.database.read() as uow:
        return Quotas(uow, QuotaOptions()).usages(rows.PROJECT)


def test_one_message_ends_all_that_wait_in_the_order_of_their_turns(env, clock, protecting):
    ids = submitted(env, clock, 5)
    hear(env, ids[3])
    assert protecting.ran == ids
    for id in ids:
        task, checkpoint = task_of(env, id), checkpoint_of(env, id)
        assert (task.state, task.outcome, task.simulated, task.attempts) == ("done", "available", True, 1)
        assert (task.lease_owner, task.lease_expires_at) == (None, None)
        assert task.started_at is not None
        assert (checkpoint.status, checkpoint.partial, checkpoint.stored_bytes) == ("available", False, 0)
        assert (checkpoint.started_at, checkpoint.ended_at) == (task.started_at, task.ended_at)
        assert [each.status for each in checkpoint.resources] == ["available"]
    assert usage(env) | {CHECKPOINTS: 5, OPERATIONS: 0} == usage(env)


def test_many_take_as_many_statements_as_two(env, clock):
    def sent(count: int) -> int:
        ids = submitted(env, clock, count)
        with counted(env.database) as statements:
            hear(env, ids[0])
        assert states(env, ids) == ["done"] * count
        return len(statements)

    assert sent(TOGETHER) == sent(2)


def test_more_than_go_together_are_done_all_the_same(env, clock, protecting):
    ids = submitted(env, clock, TOGETHER + 3)
    hear(env, ids[0])
    assert protecting.ran == ids
    assert states(env, ids) == ["done"] * len(ids)


def test_a_message_about_what_was_ended_here_asks_the_database_nothing(env, clock):
    ids = submitted(env, clock, 3)
    hear(env, ids[0])
    with counted(env.database) as statements:
        for id in ids:
            hear(env, id)
    assert statements == []


def test_a_message_about_what_another_has_ended_is_nobodys_business(env, clock, protecting):
    ids = submitted(env, clock, 2)
    hear(replace(env, hands=type(env.hands)()), ids[0])
    hear(env, ids[1])
    assert protecting.ran == ids


def test_one_whose_lease_is_lost_writes_nothing_and_the_others_end(env, clock, protecting):
    ids = submitted(env, clock, 3)

    def lose(run: Run) -> None:
        if run.task_id == ids[1]:
            with env.database.write() as uow:
                uow.tasks.get(ids[1]).lease_token = "of another"

    protecting.work = staticmethod(lose)
    hear(env, ids[0])
    assert states(env, ids) == ["done", "running", "done"]
    assert checkpoint_of(env, ids[1]).status == CheckpointStatus.PROTECTING
    assert usage(env)[OPERATIONS] == 1


def test_what_was_lost_here_and_waits_anew_is_done_anew(env, clock, protecting):
    """It is not mistaken for what was ended, nor for what still runs."""
    (id,) = submitted(env, clock, 1)

    def lose(run: Run) -> None:
        protecting.work = staticmethod(lambda run: None)
        with env.database.write() as uow:
            uow.tasks.fence_owner(env.owner, clock.now())
        with env.database.write() as uow:
            (lost,) = uow.tasks.held(uow.tasks.leases())
            assert uow.tasks.release_lost(lost, clock.now())

    protecting.work = staticmethod(lose)
    hear(env, id)
    hear(env, id)
    assert (task_of(env, id).state, task_of(env, id).attempts) == ("done", 2)


def test_one_that_was_asked_to_end_does_not_keep_the_others_from_theirs(env, clock, protecting):
    ids = submitted(env, clock, 3)
    with env.database.write() as uow:
        uow.tasks.request_cancel(ids[1], clock.now())
    hear(env, ids[0])
    assert states(env, ids) == ["done", "cancelled", "done"]
    assert protecting.ran.count(ids[1]) == 0
    assert usage(env)[OPERATIONS] == 0


def test_one_whose_checkpoint_is_not_what_it_was_fails_alone(env, clock):
    ids = submitted(env, clock, 3)
    with env.database.write() as uow:
        uow.checkpoints.get(uow.tasks.get(ids[1]).entity_id).status = CheckpointStatus.DELETED
    hear(env, ids[0])
    assert states(env, ids) == ["done", "failed", "done"]
    assert task_of(env, ids[1]).error_code == "task.entity_not_ready"


def test_a_checkpoint_that_moves_meanwhile_stays_where_it_is(env, clock, protecting):
    ids = submitted(env, clock, 3)

    def reset(run: Run) -> None:
        if run.task_id == ids[1]:
            with env.database.write() as uow:
                uow.checkpoints.get(run.entity_id).status = CheckpointStatus.ERROR

    protecting.work = staticmethod(reset)
    hear(env, ids[0])
    assert states(env, ids) == ["done"] * 3
    found = [checkpoint_of(env, id).status for id in ids]
    assert found == ["available", "error", "available"]


def test_a_fault_of_the_program_is_a_visible_end_of_the_one_it_is_about(env, clock, protecting):
    ids = submitted(env, clock, 3)

    def fail(run: Run) -> None:
        if run.task_id == ids[1]:
            raise ZeroDivisionError

    protecting.work = staticmethod(fail)
    hear(env, ids[0])
    assert states(env, ids) == ["done", "failed", "done"]
    assert checkpoint_of(env, ids[1]).status == CheckpointStatus.ERROR


def test_what_ends_anew_since_the_next_could_not_begin_is_as_its_rows_say(env, clock, protecting):
    """Not as the first try has left it in memory, which was rolled back."""
    made = submitted(env, clock, 2)
    hear(env, made[0])
    restored, deleted = [checkpoint_of(env, id) for id in made]
    (last,) = submitted(env, clock, 1)
    restore, restoring = new_restore(env, clock, restored)
    deleting = new_delete(env, clock, deleted)

    def submit_one_that_cannot_begin(run: Run) -> None:
        protecting.work = staticmethod(lambda run: None)
        (bad,) = submitted(env, clock, 1)
        with env.database.write() as uow:
            uow.tasks.request_cancel(bad, clock.now())

    protecting.work = staticmethod(submit_one_that_cannot_begin)
    hear(env, last)
    assert states(env, [last, restoring, deleting]) == ["done"] * 3
    with env.database.read() as uow:
        assert uow.restores.get(restore.id).status == RunStatus.SUCCESS
    gone = checkpoint_of(env, deleting)
    assert (gone.status, gone.counted) == (CheckpointStatus.DELETED, False)
    assert [each.status for each in gone.resources] == [ResourceStatus.DELETED]
    assert usage(env)[CHECKPOINTS] == 2


def test_one_whose_end_cannot_even_be_told_keeps_no_other_from_its_own(env, clock, protecting):
    ids = submitted(env, clock, 3)

    def fail(run: Run) -> None:
        if run.task_id == ids[1]:
            raise ZeroDivisionError

    def break_off(self, uow, entity, error, run) -> None:
        raise ZeroDivisionError

    protecting.work, protecting.handle_error = staticmethod(fail), break_off
    hear(env, ids[0])
    assert states(env, ids) == ["done", "running", "done"]


def test_one_whose_end_the_database_has_forgotten_is_done_anew(env, clock, protecting):
    """As after a failover to a copy that was a moment behind: the relay says it again, until it is done."""
    (id,) = submitted(env, clock, 1)
    hear(env, id)
    with env.database.write() as uow:
        uow.tasks.get(id).state = "pending"
        uow.checkpoints.get(uow.tasks.get(id).entity_id).status = CheckpointStatus.PENDING
    hear(env, id)
    hear(env, id)
    assert states(env, [id]) == ["done"]
    assert protecting.ran == [id, id]


@pytest.mark.parametrize("brief", [True, False])
def test_what_this_worker_does_not_know_is_left_to_others_and_keeps_nobody_waiting(env, clock, brief):
    """As while a newer version is brought in."""
    env.is_brief = brief
    ids = submitted(env, clock, TOGETHER + 3)
    strange = [ids[0], ids[2], ids[-1]]
    with env.database.write() as uow:
        for id in strange:
            uow.tasks.get(id).operation = "newer"
    hear(env, ids[1])
    assert states(env, strange) == ["pending"] * 3
    assert [task_of(env, id).attempts for id in strange] == [0] * 3
    known = [id for id in ids if id not in strange]
    assert states(env, known) == ["done"] * len(known)


def test_what_no_schedule_has_made_and_what_one_has_go_on_beside_each_other(env, clock):
    ids = [*submitted(env, clock, 2), *submitted(env, clock, 1, scheduled_operation_id=new_id())]
    hear(env, ids[0])
    assert states(env, ids) == ["done"] * 3
    assert [checkpoint_of(env, id).status for id in ids] == ["available"] * 3


def test_nobody_waits_for_the_one_whose_checkpoint_another_holds(env, clock):
    if env.database.engine.dialect.name == "sqlite":
        return  # one writer at a time anyway
    ids = submitted(env, clock, 3)
    hears = threading.Thread(target=hear, args=[env, ids[0]])
    with env.database.write() as uow:
        uow.checkpoints.get(task_of(env, ids[1]).entity_id, lock=True)
        hears.start()
        assert _comes_to(lambda: states(env, ids) == ["done", "running", "done"])
    hears.join()
    assert states(env, ids) == ["done"] * 3
    assert task_of(env, ids[1]).attempts == 1


def test_with_a_limit_each_goes_alone(env, clock, protecting):
    limited = replace(env, options=replace(env.options, limits=Limits(per_project=1)))
    limited.operations = makers(limited, [protecting])
    ids = submitted(env, clock, 3)
    protecting.work = staticmethod(lambda run: _assert_runs_alone(env, ids, run.task_id))
    hear(limited, ids[0])
    assert states(env, ids) == ["done"] * 3


def _assert_runs_alone(env: TaskEnv, ids: list[str], own: str) -> None:
    assert [id for id in ids if task_of(env, id).state == "running"] == [own]


def test_as_many_workers_as_there_can_be_do_each_task_once(env, clock, protecting):
    ids = submitted(env, clock, 60)
    workers = [replace(env, owner=f"worker:{n}", hands=type(env.hands)()) for n in range(4)]
    for worker in workers:
        worker.errands = type(env.errands)()
        worker.operations = makers(worker, [protecting])
    threads = [
        threading.Thread(target=lambda w=worker, own=ids[n::4]: [hear(w, id) for id in own])
        for n, worker in enumerate(workers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states(env, ids) == ["done"] * 60
    assert [task_of(env, id).attempts for id in ids] == [1] * 60
    assert usage(env)[OPERATIONS] == 0


def test_a_stopping_worker_gives_back_what_it_has_claimed(env, clock, protecting):
    ids = submitted(env, clock, 3)

    def stop(run: Run) -> None:
        env.stopping.set()

    protecting.work = staticmethod(stop)
    hear(env, ids[0])
    assert "running" not in states(env, ids)
    assert [task_of(env, id).attempts for id in ids if task_of(env, id).state == "pending"] == [0, 0, 0]


# --- what the database is asked for ---


def claim(database: Database, most: int, clock: ManualClock, but: Collection[str] = ()) -> list[Task]:
    with database.write() as uow:
        return uow.tasks.claim_several(most, BY, "token", clock.now(), but=but)


def test_as_many_are_taken_as_are_wanted_and_first_whose_turn_is_first(env, clock):
    ids = submitted(env, clock, 4)
    assert [task.id for task in claim(env.database, 3, clock, but={ids[1]})] == [ids[0], ids[2], ids[3]]
    assert [task.id for task in claim(env.database, 3, clock)] == [ids[1]]
    assert claim(env.database, 3, clock) == []


def test_what_is_taken_shows_its_claim_and_goes_on_from_earlier_ones(env, clock):
    first, second = submitted(env, clock, 2)
    began = clock.now()
    with env.database.write() as uow:
        uow.tasks.get(second).attempts = 2
        uow.tasks.get(second).started_at = began
    clock.advance(5)
    taken = claim(env.database, 2, clock)
    for task in taken:
        row = task_of(env, task.id)
        seen = (task.attempts, task.started_at, task.lease_token)
        assert (row.attempts, row.started_at, row.lease_token) == seen
        assert (row.state, row.lease_expires_at) == ("running", clock.now() + timedelta(seconds=60))
    assert [(task.attempts, task.started_at) for task in taken] == [(1, clock.now()), (3, began)]


def test_a_task_for_another_host_or_a_later_time_is_not_among_them(env, clock):
    elsewhere, later, own = submitted(env, clock, 3)
    with env.database.write() as uow:
        uow.tasks.get(elsewhere).host = "elsewhere"
        uow.tasks.get(later).not_before = clock.now() + timedelta(seconds=1)
    assert [task.id for task in claim(env.database, 3, clock)] == [own]


def test_all_or_none_of_those_that_were_claimed_together_end(env, clock):
    ids = submitted(env, clock, 2)
    claim(env.database, 2, clock)
    with env.database.write() as uow:
        uow.tasks.get(ids[0]).lease_token = "another"
    uow = env.database.begin(write=True)
    assert not uow.tasks.finish_all(ids, "token", clock.now(), outcome="x", simulated=True)
    uow.rollback()
    uow.close()
    assert states(env, ids) == ["running", "running"]


def test_many_rows_move_only_as_the_table_allows(env, clock):
    with env.database.write() as uow, pytest.raises(MoveNotAllowed):
        move_all(uow.session, Task, "id", [], "done", "pending")


def _comes_to(be: Callable[[], bool]) -> bool:
    for _ in range(2000):
        if be():
            return True
        threading.Event().wait(0.01)
    return False
