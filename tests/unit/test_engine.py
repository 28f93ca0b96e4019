from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest

from protectd.common.errors import Cancelled, Unavailable
from protectd.engine.reconciler import Reconciler
from protectd.engine.relay import Relay
from protectd.engine.service import EngineService
from protectd.model.unit_of_work import Database
from protectd.queue.contract import METHODS, TaskRef
from tests.fakes.clock import ManualClock
from tests.fakes.tasks import (
    Scripted,
    checkpoint_of,
    claim_and_vanish,
    env_of,
    new_checkpoint,
    run_task,
    task_of,
)

pytest_plugins = ["tests.fakes.databases"]

PATIENCE_S = 20.0


class Announcements:
    """Takes down what is announced; the relay has marked it as sent before.

    :ivar is_away: the broker takes nothing.
    :ivar is_cut: it is known to be away.
    """

    def __init__(self, env) -> None:
        self._env = env
        self.heard: list[str] = []
        self.is_away = self.is_cut = False

    def announce(self, refs: Sequence[TaskRef]) -> list[TaskRef]:
        self.is_cut = self.is_away
        if self.is_away:
            return list(refs)
        self.heard += [ref.task_id for ref in refs]
        return []


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def env(chosen_database: Database, clock: ManualClock):
    return env_of(chosen_database, clock)


@pytest.fixture
def made(env):
    return new_checkpoint(env.database, env.clock)


@pytest.fixture
def announcements(env) -> Announcements:
    return Announcements(env)


@pytest.fixture
def relay(env, announcements) -> Relay:
    return Relay(env.database, env.clock, announcements, resend_grace_s=60)


@pytest.fixture
def reconciler(env, clock) -> Reconciler:
    return reconciler_of(env, clock)


def reconciler_of(env, clock: ManualClock) -> Reconciler:
    return Reconciler(env.database, clock, dict.fromkeys(METHODS, lambda: Scripted(env, lambda run: None)))


def test_a_task_that_its_request_could_not_announce_is_announced(relay, announcements, made, clock):
    clock.advance(2)
    assert relay.run_once() == 1
    assert announcements.heard == [made[1].task_id]


def test_a_task_of_this_moment_is_left_to_its_request(relay, announcements, made):
    assert relay.run_once() == 0


def test_a_task_that_was_announced_and_not_taken_is_announced_again_and_ever_more_rarely(
    relay, announcements, made, clock
):
    waits = []
    clock.advance(2)
    relay.run_once()
    for _ in range(3):
        begin = clock.monotonic()
        while relay.run_once() == 0:
            clock.advance(10)
        waits.append(clock.monotonic() - begin)
    assert waits == [60, 120, 240]


def test_a_task_that_waits_for_its_next_attempt_is_announced_when_it_is_due(env, relay, made, clock):
    def work(run):
        raise Unavailable(what="bank", reason="away")

    run_task(env, made[1], work)
    assert relay.run_once() == 0
    clock.advance(10)
    assert relay.run_once() == 1


def test_tasks_that_run_or_are_over_are_not_announced(env, relay, made, clock):
    claim_and_vanish(env, made[1])
    clock.advance(3600)
    assert relay.run_once() == 0


def test_after_a_restart_that_lost_all_messages_everything_is_announced_at_once(
    relay, announcements, made, clock
):
    clock.advance(2)
    relay.run_once()
    assert relay.run_once() == 0
    assert relay.resend_all() == 1
    assert len(announcements.heard) == 2


def test_a_broker_that_is_away_is_tried_at_each_look(relay, announcements, made, clock):
    clock.advance(2)
    announcements.is_away = True
    assert [relay.run_once(), relay.run_once()] == [1, 1]
    announcements.is_away = False
    assert relay.run_once() == 1
    assert announcements.heard == [made[1].task_id]


def test_two_relays_announce_a_task_once(env, relay, announcements, made, clock):
    clock.advance(2)
    other = Relay(env.database, clock, announcements, resend_grace_s=60)
    assert [relay.run_once(), other.run_once()] == [1, 0]


def test_a_lost_worker_is_followed_by_another(env, reconciler, relay, made, clock):
    checkpoint, ref = made
    claim_and_vanish(env, ref)
    for _ in range(2):
        assert reconciler.run_once() == 0
        clock.advance(30)
    assert reconciler.run_once() == 1
    assert relay.run_once() == 1
    run_task(env_of(env.database, clock, owner="worker:2"), ref)
    assert checkpoint_of(env.database, checkpoint).status == "available"
    assert task_of(env.database, ref).attempts == 2


def test_two_reconcilers_hand_a_task_over_once(env, made, clock):
    claim_and_vanish(env, made[1])
    two = [reconciler_of(env, clock), reconciler_of(env, clock)]
    assert [each.run_once() for each in two] == [0, 0]
    clock.advance(61)
    assert [each.run_once() for each in two] == [1, 0]


def test_a_lease_that_changes_is_kept_whatever_the_clocks_say(env, reconciler, made, clock):
    """The worker's clock may be a year behind: what counts is that the lease was renewed."""
    token = claim_and_vanish(env, made[1])
    for number in range(5):
        clock.advance(40)
        with env.database.write() as uow:
            past = clock.now() - timedelta(days=365 - number)
            assert uow.tasks.renew(made[1].task_id, token, past, 60) == "held"
        assert reconciler.run_once() == 0


def test_an_engine_whose_clock_is_ahead_takes_nothing_away(env, reconciler, made, clock):
    claim_and_vanish(env, made[1])
    ahead = ManualClock(clock.now() + timedelta(hours=1))
    assert reconciler_of(env, ahead).run_once() == 0
    assert task_of(env.database, made[1]).state == "running"


def test_a_task_whose_workers_always_vanish_is_given_up_with_a_reason(env, reconciler, made, clock):
    checkpoint, ref = made
    for _ in range(3):
        claim_and_vanish(env, ref)
        reconciler.run_once()
        clock.advance(61)
        assert reconciler.run_once() == 1
    task, ended = task_of(env.database, ref), checkpoint_of(env.database, checkpoint)
    assert (task.state, task.outcome, task.error_code) == ("failed", "error", "task.lost")
    assert (ended.status, ended.error_code) == ("error", "task.lost")
    assert [resource.status for resource in ended.resources] == ["error"]
    assert reconciler.run_once() == 0


def test_giving_up_a_task_whose_entity_is_gone_needs_no_entity(env, reconciler, made, clock):
    checkpoint, ref = made
    for _ in range(3):
        claim_and_vanish(env, ref)
        reconciler.run_once()
        clock.advance(61)
        with env.database.write() as uow:
            uow.checkpoints.delete(uow.checkpoints.get(checkpoint.id, include_deleted=True))
        reconciler.run_once()
    assert task_of(env.database, ref).state == "failed"


def test_one_row_that_cannot_be_ended_does_not_keep_the_others(env, made, clock, monkeypatch):
    bad, good = made, new_checkpoint(env.database, clock)

    class Choosy(Scripted):
        def handle_error(self, uow, checkpoint, error, run):
            if checkpoint.id == bad[0].id:
                raise RuntimeError("poison")
            super().handle_error(uow, checkpoint, error, run)

    reconciler = Reconciler(env.database, clock, {"protect": lambda: Choosy(env, lambda run: None)})
    for _ in range(3):
        for _, ref in (bad, good):
            claim_and_vanish(env, ref)
        reconciler.run_once()
        clock.advance(61)
        reconciler.run_once()
    assert checkpoint_of(env.database, good[0]).status == "error"
    assert task_of(env.database, bad[1]).state == "running"


def test_a_waiting_task_that_was_asked_to_end_does_so_without_a_worker(env, reconciler, made, clock):
    checkpoint, ref = made
    with env.database.write() as uow:
        assert uow.tasks.request_cancel(ref.task_id, clock.now())
    assert reconciler.run_once() == 1
    task, ended = task_of(env.database, ref), checkpoint_of(env.database, checkpoint)
    assert (task.state, task.error_code) == ("cancelled", "cancelled")
    assert (ended.status, ended.error_code) == ("error", "cancelled")


def test_a_task_that_waits_beyond_its_deadline_fails_with_that_reason(env, reconciler, made, clock):
    checkpoint, ref = made
    with env.database.write() as uow:
        uow.tasks.get(ref.task_id).deadline_at = clock.now() + timedelta(seconds=30)
    assert reconciler.run_once() == 0
    clock.advance(31)
    assert reconciler.run_once() == 1
    assert task_of(env.database, ref).error_code == "task.deadline_passed"
    assert checkpoint_of(env.database, checkpoint).status == "error"


def test_a_claim_that_comes_between_keeps_its_task(env, reconciler, made, clock):
    checkpoint, ref = made
    with env.database.write() as uow:
        uow.tasks.request_cancel(ref.task_id, clock.now())
    with env.database.read() as uow:
        (seen,) = uow.tasks.cancelled_waiting(clock.now(), 10)
    claim_and_vanish(env, ref)
    assert not Scripted(env, lambda run: None).give_up_and_suppress_exceptions(seen, Cancelled())
    assert task_of(env.database, ref).state == "running"


def test_a_service_that_falls_silent_is_told_once(env, reconciler, clock, caplog):
    caplog.set_level("INFO", "protectd.engine")
    with env.database.write() as uow:
        service = uow.services.register("here", "protectd-worker", "topic")
        uow.services.heartbeat(service.id, clock.now())
    reconciler.run_once()
    assert not caplog.messages
    clock.advance(61)
    reconciler.run_once()
    reconciler.run_once()
    assert caplog.messages == ["protectd-worker on here has not reported for 60 s"]


def test_a_former_boot_of_this_process_is_fenced_off_at_once(env, reconciler, made, clock):
    checkpoint, ref = made
    token = claim_and_vanish(env, ref)
    assert reconciler.fence("worker:", keep="worker:2") == 1
    assert reconciler.run_once() == 1
    with env.database.write() as uow:
        assert uow.tasks.renew(ref.task_id, token, clock.now(), 60) == "lost"


def test_this_boot_is_not_fenced_off(env, reconciler, made):
    claim_and_vanish(env, made[1])
    assert reconciler.fence("worker:", keep="worker:1") == 0


def test_a_chore_that_fails_is_done_again_and_keeps_no_other():
    done = threading.Semaphore(0)

    def fails() -> None:
        raise RuntimeError("poison")

    def away() -> None:
        raise Unavailable(what="database", reason="away")

    service = EngineService([fails, away, done.release], poll_interval_s=0.01)
    service.start()
    for _ in range(3):
        assert done.acquire(timeout=PATIENCE_S)
    assert service.stop(PATIENCE_S)


def test_an_engine_that_never_started_stops():
    assert EngineService([]).stop(PATIENCE_S)
