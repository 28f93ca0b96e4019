from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from protectd.common.context import RequestContext
from protectd.common.errors import Cancelled, Unavailable
from protectd.common.progress import Counts
from protectd.model.unit_of_work import Database
from protectd.queue.contract import TaskRef
from protectd.tasks.run import Run
from protectd.vault.errors import VaultLocked
from tests.fakes.clock import ManualClock
from tests.fakes.tasks import (
    CONTEXT,
    checkpoint_of,
    claim_and_vanish,
    env_of,
    new_checkpoint,
    run_task,
    task_of,
)

pytest_plugins = ["tests.fakes.databases"]

LOCKED = VaultLocked(how="exclusively", holder="another", since="now", advice="wait")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def env(chosen_database: Database, clock: ManualClock):
    return env_of(chosen_database, clock)


@pytest.fixture
def made(env):
    return new_checkpoint(env.database, env.clock)


def leases(env):
    with env.database.read() as uow:
        return uow.tasks.leases()


def failing(error: Exception):
    def work(run: Run) -> None:
        raise error

    return work


def test_a_task_that_goes_well_ends_together_with_its_entity(env, made):
    checkpoint, ref = made
    run_task(env, ref)
    task = task_of(env.database, ref)
    assert (task.state, task.outcome, task.attempts) == ("done", "available", 1)
    assert checkpoint_of(env.database, checkpoint).status == "available"


def test_while_it_runs_the_entity_says_so_and_the_lease_is_held(env, made):
    checkpoint, ref = made
    seen = []

    def look(run: Run) -> None:
        task = task_of(env.database, ref)
        seen.append((checkpoint_of(env.database, checkpoint).status, task.state, task.lease_owner))

    run_task(env, ref, look)
    assert seen == [("protecting", "running", "worker:1")]


def test_an_unknown_error_is_a_visible_end_that_tells_no_details(env, made, caplog):
    checkpoint, ref = made
    run_task(env, ref, failing(RuntimeError("s3cr3t")))
    ended = checkpoint_of(env.database, checkpoint)
    assert (ended.status, ended.error_code) == ("error", "internal")
    assert "s3cr3t" not in str(ended.error_message) + str(task_of(env.database, ref).error_message)
    assert "s3cr3t" in caplog.text


def test_the_request_stands_in_each_line_of_the_log(env, made, caplog):
    caplog.set_level(logging.INFO, "protectd.tasks")
    run_task(env, made[1], failing(RuntimeError("x")))
    assert caplog.messages
    assert all("req-1" in message for message in caplog.messages)


def test_an_error_that_may_pass_brings_the_task_back_later(env, made, clock):
    checkpoint, ref = made
    run_task(env, ref, failing(Unavailable(what="bank", reason="away")))
    task = task_of(env.database, ref)
    assert (task.state, task.attempts, task.error_code) == ("pending", 1, "unavailable")
    assert timedelta(seconds=5) <= task.not_before - clock.now() <= timedelta(seconds=10)
    assert checkpoint_of(env.database, checkpoint).status == "protecting"


def test_before_its_time_a_task_is_not_taken_and_then_it_is(env, made, clock):
    checkpoint, ref = made
    run_task(env, ref, failing(Unavailable(what="bank", reason="away")))
    run_task(env, ref)
    assert task_of(env.database, ref).state == "pending"
    clock.advance(10)
    run_task(env, ref)
    assert checkpoint_of(env.database, checkpoint).status == "available"


def test_attempts_come_to_an_end(env, made, clock):
    checkpoint, ref = made
    for _ in range(3):
        run_task(env, ref, failing(Unavailable(what="bank", reason="away")))
        clock.advance(15)
    ended = checkpoint_of(env.database, checkpoint)
    assert (ended.status, ended.error_code) == ("error", "unavailable")
    assert task_of(env.database, ref).state == "failed"


def test_waiting_for_a_vault_costs_no_attempt(env, made, clock):
    checkpoint, ref = made
    for _ in range(10):
        run_task(env, ref, failing(LOCKED))
        clock.advance(60)
    assert (task_of(env.database, ref).state, task_of(env.database, ref).attempts) == ("pending", 0)
    run_task(env, ref)
    assert checkpoint_of(env.database, checkpoint).status == "available"


def test_who_waits_long_asks_more_rarely_but_within_a_minute(env, made, clock):
    pauses = []
    for waited_s in (0, 100, 3000):
        clock.advance(waited_s)
        run_task(env, made[1], failing(LOCKED))
        pauses.append((task_of(env.database, made[1]).not_before - clock.now()).total_seconds())
    assert pauses == [5, 25, 60]


def test_nobody_waits_for_a_vault_for_ever(env, made, clock):
    checkpoint, ref = made
    run_task(env, ref, failing(LOCKED))
    clock.advance(env.options.wait_limit_s)
    for _ in range(3):
        run_task(env, ref, failing(LOCKED))
        clock.advance(15)
    assert checkpoint_of(env.database, checkpoint).status == "error"


def test_a_task_whose_entity_is_gone_ends_without_a_word(env, made, caplog):
    checkpoint, ref = made
    with env.database.write() as uow:
        uow.checkpoints.delete(uow.checkpoints.get(checkpoint.id))
    run_task(env, ref)
    task = task_of(env.database, ref)
    assert (task.state, task.error_code) == ("cancelled", "task.entity_gone")
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_an_entity_that_has_gone_on_is_left_as_it_is(env, made):
    checkpoint, ref = made
    with env.database.write() as uow:
        uow.checkpoints.get(checkpoint.id).status = "available"
    run_task(env, ref)
    assert checkpoint_of(env.database, checkpoint).status == "available"
    assert task_of(env.database, ref).error_code == "task.entity_not_ready"


def test_a_task_asked_to_end_before_it_began_never_begins(env, made, clock):
    checkpoint, ref = made
    with env.database.write() as uow:
        assert uow.tasks.request_cancel(ref.task_id, clock.now())
    run_task(env, ref, failing(AssertionError("it ran")))
    assert task_of(env.database, ref).state == "cancelled"
    ended = checkpoint_of(env.database, checkpoint)
    assert (ended.status, ended.error_code) == ("error", "cancelled")


def test_a_running_task_learns_at_the_next_beat_that_it_is_to_end(env, made, clock):
    checkpoint, ref = made

    def work(run: Run) -> None:
        with env.database.write() as uow:
            uow.tasks.request_cancel(ref.task_id, clock.now())
        clock.advance(3)
        run.keeper.beat()
        with pytest.raises(Cancelled):
            run.progress.check()
        run.progress.check()

    run_task(env, ref, work)
    assert task_of(env.database, ref).state == "cancelled"


def test_a_stopping_worker_hands_its_task_back_as_if_never_begun(env, made):
    checkpoint, ref = made

    def work(run: Run) -> None:
        env.stopping.set()
        run.progress.check()

    run_task(env, ref, work)
    task = task_of(env.database, ref)
    assert (task.state, task.attempts, task.sent_at, task.error_code) == ("pending", 0, None, None)
    other = env_of(env.database, env.clock, owner="worker:2")
    run_task(other, ref)
    assert checkpoint_of(env.database, checkpoint).status == "available"


def test_a_stopping_worker_begins_nothing_and_lets_others_be_told(env, made, clock):
    checkpoint, ref = made
    with env.database.write() as uow:
        uow.tasks.mark_sent(ref.task_id, clock.now())
    env.stopping.set()
    run_task(env, ref, failing(AssertionError("it ran")))
    task = task_of(env.database, ref)
    assert (task.state, task.attempts, task.sent_at) == ("pending", 0, None)


def test_who_lost_the_lease_writes_nothing(env, made, clock, caplog):
    checkpoint, ref = made

    def work(run: Run) -> None:
        clock.advance(61)
        with env.database.write() as uow:
            task = uow.tasks.get(ref.task_id)
            assert uow.tasks.release_lost(task, clock.now())

    run_task(env, ref, work)
    assert task_of(env.database, ref).state == "pending"
    assert checkpoint_of(env.database, checkpoint).status == "protecting"
    assert "lease is lost" in caplog.text


@pytest.mark.parametrize("error", [None, RuntimeError("late"), Unavailable(what="bank", reason="late")])
def test_a_late_worker_does_not_touch_what_the_next_one_made(env, made, clock, error):
    checkpoint, ref = made

    def work(run: Run) -> None:
        clock.advance(61)
        with env.database.write() as uow:
            uow.tasks.release_lost(uow.tasks.get(ref.task_id), clock.now())
        run_task(env_of(env.database, clock, owner="worker:2"), ref)
        if error is not None:
            raise error

    run_task(env, ref, work)
    task = task_of(env.database, ref)
    assert (task.state, task.attempts, task.error_code) == ("done", 2, None)
    assert checkpoint_of(env.database, checkpoint).status == "available"


def test_a_beat_tells_a_late_worker_to_stop(env, made, clock):
    def work(run: Run) -> None:
        clock.advance(61)
        with env.database.write() as uow:
            uow.tasks.release_lost(uow.tasks.get(run.task_id), clock.now())
        run.keeper.beat()
        run.progress.check()

    run_task(env, made[1], work)
    assert task_of(env.database, made[1]).state == "pending"


def test_beats_keep_the_lease(env, made, clock):
    seen = []

    def work(run: Run) -> None:
        for _ in range(10):
            clock.advance(20)
            run.keeper.beat()
            (lease,) = leases(env)
            assert lease not in seen
            seen.append(lease)

    run_task(env, made[1], work)
    assert task_of(env.database, made[1]).state == "done"


def test_progress_is_seen_with_its_speed_and_what_is_left(env, made, clock):
    checkpoint, ref = made
    seen = []

    def work(run: Run) -> None:
        run.progress.report(Counts("save", 0, 1000, 0, 10))
        clock.advance(2)
        run.progress.report(Counts("save", 400, 1000, 4, 10))
        run.keeper.beat()
        seen.append(task_of(env.database, ref).progress)

    run_task(env, ref, work)
    assert seen == [
        {
            "phase": "save",
            "done_bytes": 400,
            "total_bytes": 1000,
            "done_files": 4,
            "total_files": 10,
            "rate_bytes_s": 200,
            "eta_s": 3,
        }
    ]


def test_a_beat_without_news_writes_nothing(env, made, clock):
    def work(run: Run) -> None:
        before = task_of(env.database, made[1]).lease_expires_at
        clock.advance(1)
        run.keeper.beat()
        assert task_of(env.database, made[1]).lease_expires_at == before

    run_task(env, made[1], work)
    assert task_of(env.database, made[1]).state == "done"


def test_a_lease_that_could_not_be_renewed_in_time_counts_as_lost(env, made, clock, monkeypatch):
    def work(run: Run) -> None:
        clock.advance(30)
        run.keeper.beat()
        monkeypatch.setattr(env.database, "write", _away)
        clock.advance(40)
        run.keeper.beat()
        assert not run.keeper.lost
        clock.advance(20)
        run.keeper.beat()
        monkeypatch.undo()
        run.progress.check()

    run_task(env, made[1], work)
    assert task_of(env.database, made[1]).state == "running"


def _away():
    raise Unavailable(what="database", reason="away")


def test_an_end_is_written_when_the_database_is_back(env, made, clock, monkeypatch):
    checkpoint, ref = made

    def work(run: Run) -> None:
        monkeypatch.setattr(env.database, "write", _away)
        monkeypatch.setattr(env.clock, "sleep", lambda seconds: monkeypatch.undo())

    run_task(env, ref, work)
    assert checkpoint_of(env.database, checkpoint).status == "available"


def test_a_message_from_another_project_has_no_effect(env, made, caplog):
    checkpoint, ref = made
    stranger = RequestContext("req-2", "project-b", "someone", ("admin",))
    run_task(env, replace(ref, context=stranger))
    assert task_of(env.database, ref).state == "pending"
    assert "does not fit" in caplog.text


def test_a_message_for_a_task_that_is_not_there_has_no_effect(env, made):
    seen = []
    run_task(env, TaskRef("protect", "process_checkpoint", "no-such-task", None, CONTEXT), seen.append)
    assert seen == []


def test_a_task_of_another_host_is_not_taken(env):
    checkpoint, ref = new_checkpoint(env.database, env.clock, host="there")
    run_task(env, ref)
    assert task_of(env.database, ref).state == "pending"
    run_task(env_of(env.database, env.clock, host="there"), ref)
    assert checkpoint_of(env.database, checkpoint).status == "available"


def test_a_second_attempt_knows_that_there_was_a_first(env, made, clock):
    checkpoint, ref = made
    claim_and_vanish(env, ref)
    seen = []
    clock.advance(61)
    with env.database.write() as uow:
        uow.checkpoints.get(checkpoint.id).status = "protecting"
        uow.tasks.release_lost(uow.tasks.get(ref.task_id), clock.now())
    run_task(env, ref, lambda run: seen.append((run.attempt, run.facts.repeated)))
    assert seen == [(2, True)]


def test_moves_are_seen_in_the_time_of_change(env, made, clock):
    checkpoint, ref = made
    times = [checkpoint_of(env.database, checkpoint).updated_at]

    def work(run: Run) -> None:
        times.append(checkpoint_of(env.database, checkpoint).updated_at)

    run_task(env, ref, work)
    times.append(checkpoint_of(env.database, checkpoint).updated_at)
    assert times == sorted(times)


def test_a_database_that_is_away_is_one_line_in_the_log(env, made, caplog):
    """As a full disk is: whoever reads the log wants to know what, and not from where."""
    away = Database("postgresql+psycopg://nobody@127.0.0.1:1/none")
    run_task(replace(env, database=away), made[1])
    (record,) = [record for record in caplog.records if record.name.startswith("protectd")]
    assert (record.levelno, record.exc_info) == (logging.WARNING, None)
    assert "the database is not available" in record.getMessage()
