"""From a committed row to its end: over the queue, directly, and by many messages at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest
from oslo_config import cfg

from protectd.common.clock import SystemClock
from protectd.common.errors import ConfigurationError
from protectd.engine.reconciler import Reconciler
from protectd.engine.relay import Relay
from protectd.model.unit_of_work import Database
from protectd.queue.client import TaskClient
from protectd.queue.contract import METHODS, OLDEST
from protectd.queue.dispatcher import DIRECT, QUEUE, Dispatcher, operation_modes
from protectd.queue.publisher import WAITING
from protectd.queue.server import TaskServer
from protectd.queue.transport import make_transport
from protectd.tasks.env import TaskEnv
from tests.fakes.brokers import (
    Corner,
    line_to_rabbit,
    rabbit_corner,
    silent_broker,
    unreachable_broker,
)
from tests.fakes.clock import ManualClock
from tests.fakes.tasks import (
    Scripted,
    checkpoint_of,
    claim_and_vanish,
    env_of,
    new_checkpoint,
    run_task,
    task_of,
    tasks_of,
)

pytest_plugins = ["tests.fakes.databases"]

PATIENCE_S = 20.0


def client_of(corner: Corner, budget_s: float = 5.0) -> TaskClient:
    conf = cfg.ConfigOpts()
    conf([], project="protectd")
    return TaskClient(make_transport(conf, corner.url), corner.topic, budget_s, corner.exchange)


class Runs:
    """Work that is counted, and lasts until it is let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended = threading.Semaphore(0)
        self.go = threading.Event()

    def __call__(self, run) -> None:
        self.begun.append(run.entity_id)
        assert self.go.wait(PATIENCE_S)
        self.ended.release()


def dispatcher_of(
    env: TaskEnv, mode: str, corner: Corner | None = None, work=lambda run: None, budget_s=5.0, **values
):
    return Dispatcher(
        operation_modes(mode, {}),
        database=env.database,
        clock=env.clock,
        client=None if corner is None else client_of(corner, budget_s),
        tasks=tasks_of(env, work),
        host=env.host,
        **values,
    )


@contextmanager
def worker(env: TaskEnv, corner: Corner, work) -> Iterator[TaskServer]:
    conf = cfg.ConfigOpts()
    conf([], project="protectd")
    server = TaskServer(
        make_transport(conf, corner.url),
        tasks_of(env, work),
        host=env.host,
        stopping=env.stopping,
        topic=corner.topic,
        exchange=corner.exchange,
        client=TaskClient,
    )
    server.start()
    assert server.wait_until_listening(PATIENCE_S)
    try:
        yield server
    finally:
        assert server.stop(PATIENCE_S)


def wait_until(condition) -> None:
    for _ in range(int(PATIENCE_S / 0.05)):
        if condition():
            return
        threading.Event().wait(0.05)
    raise AssertionError("it never came true")


@pytest.fixture(params=["fake", "rabbit"])
def corner(request) -> Iterator[Corner]:
    with ExitStack() as stack:
        if request.param == "fake":
            yield Corner.of("fake://")
        else:
            yield stack.enter_context(rabbit_corner("here", "there"))


@pytest.fixture
def env(chosen_database: Database) -> TaskEnv:
    return env_of(chosen_database, SystemClock())


def test_a_checkpoint_is_made_by_a_message(env, corner):
    checkpoint, ref = new_checkpoint(env.database, env.clock)
    with worker(env, corner, lambda run: None):
        assert dispatcher_of(env, QUEUE, corner).dispatch([ref]) is False
        wait_until(lambda: checkpoint_of(env.database, checkpoint).status == "available")
    assert task_of(env.database, ref).state == "done"


def test_what_was_sent_is_marked_so(env):
    checkpoint, ref = new_checkpoint(env.database, env.clock)
    dispatcher = dispatcher_of(env, QUEUE, Corner.of("fake://"))
    dispatcher.dispatch([ref])
    wait_until(lambda: task_of(env.database, ref).sent_count == 1)
    assert task_of(env.database, ref).state == "pending"


def test_many_messages_for_one_task_are_one_execution(env, corner):
    checkpoint, ref = new_checkpoint(env.database, env.clock)
    runs = Runs()
    with worker(env, corner, runs):
        client = client_of(corner)
        with ThreadPoolExecutor(20) as pool:
            for _ in range(20):
                pool.submit(client.process_checkpoint, {"project_id": ref.context.project_id}, ref.task_id)
        runs.go.set()
        wait_until(lambda: checkpoint_of(env.database, checkpoint).status == "available")
    assert runs.begun == [checkpoint.id]
    assert task_of(env.database, ref).attempts == 1


def test_many_workers_at_once_are_one_execution_on_every_database(any_database):
    clock = SystemClock()
    checkpoint, ref = new_checkpoint(any_database, clock)
    begun, barrier = [], threading.Barrier(20)

    def attempt(number: int) -> None:
        env = env_of(any_database, clock, owner=f"worker:{number}")
        barrier.wait(PATIENCE_S)
        run_task(env, ref, lambda run: begun.append(number))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(attempt, range(20)))
    assert len(begun) == 1
    assert (task_of(any_database, ref).state, task_of(any_database, ref).attempts) == ("done", 1)
    assert checkpoint_of(any_database, checkpoint).status == "available"


def test_a_task_is_announced_by_the_relay_when_the_broker_was_away(env, corner):
    checkpoint, ref = new_checkpoint(env.database, env.clock)
    gone = Corner(unreachable_broker(), corner.topic, corner.exchange)
    dispatcher_of(env, QUEUE, gone).dispatch([ref])
    assert task_of(env.database, ref).sent_at is None
    with worker(env, corner, lambda run: None):
        relay = Relay(env.database, env.clock, dispatcher_of(env, QUEUE, corner))
        wait_until(relay.run_once)
        wait_until(lambda: checkpoint_of(env.database, checkpoint).status == "available")


def test_the_relay_tries_one_task_while_the_broker_is_away_and_all_when_it_is_back(env):
    refs = [new_checkpoint(env.database, env.clock)[1] for _ in range(5)]
    with line_to_rabbit() as (line, url), rabbit_corner() as near, worker(env, near, lambda run: None):
        line.cut()
        line.hold()
        dispatcher = dispatcher_of(env, QUEUE, Corner(url, near.topic, near.exchange), budget_s=0.3)
        relay = Relay(env.database, env.clock, dispatcher, resend_grace_s=0)
        assert relay.resend_all() == 5
        wait_until(relay.run_once)
        assert [relay.run_once() for _ in range(3)] == [1, 1, 1]
        assert {task_of(env.database, ref).sent_at for ref in refs} == {None}
        line.release()
        wait_until(lambda: relay.run_once() > 1)
        wait_until(lambda: all(task_of(env.database, ref).state == "done" for ref in refs))


def test_nobody_waits_for_a_broker_that_says_no_word(env):
    """With a budget that no test lives to see the end of."""
    refs = [new_checkpoint(env.database, env.clock)[1] for _ in range(3)]
    with silent_broker() as url:
        dispatcher = dispatcher_of(env, QUEUE, Corner.of(url), budget_s=1e6)
        for ref in refs:
            assert dispatcher.dispatch([ref]) is False
        dispatcher.close(0)
    assert [task_of(env.database, ref).sent_at for ref in refs] == [None] * 3


def test_what_waited_too_long_for_the_broker_is_left_to_the_relay(env):
    ref, *others = [new_checkpoint(env.database, env.clock)[1] for _ in range(5)]
    with rabbit_corner() as corner, line_to_rabbit() as (line, url), worker(env, corner, lambda run: None):
        line.hold()
        dispatcher = dispatcher_of(env, QUEUE, Corner(url, corner.topic, corner.exchange), budget_s=0.3)
        dispatcher.dispatch([ref])
        for other in others:
            dispatcher.dispatch([other])
            threading.Event().wait(0.1)
        line.release()
        wait_until(lambda: task_of(env.database, ref).state == "done")
        dispatcher.close(PATIENCE_S)
        states = {task_of(env.database, other).state for other in others}
        assert "pending" in states
        relay = Relay(env.database, env.clock, dispatcher_of(env, QUEUE, corner))
        relay.resend_all()
        wait_until(lambda: all(task_of(env.database, other).state == "done" for other in others))
    assert [task_of(env.database, each).attempts for each in (ref, *others)] == [1] * 5


def test_more_than_can_wait_is_left_to_the_relay(env):
    refs = [new_checkpoint(env.database, env.clock)[1] for _ in range(2)]
    with silent_broker() as url:
        dispatcher = dispatcher_of(env, QUEUE, Corner.of(url), budget_s=1e6)
        for _ in range(WAITING + 2):
            dispatcher.dispatch([refs[0]])
        dispatcher.dispatch([refs[1]])
    Relay(env.database, env.clock, dispatcher_of(env, DIRECT)).resend_all()
    wait_until(lambda: all(task_of(env.database, ref).state == "done" for ref in refs))


def test_a_process_that_ends_sends_what_was_handed_over(env, corner):
    refs = [new_checkpoint(env.database, env.clock)[1] for _ in range(20)]
    with worker(env, corner, lambda run: None):
        dispatcher = dispatcher_of(env, QUEUE, corner)
        for ref in refs:
            dispatcher.dispatch([ref])
        dispatcher.close(PATIENCE_S)
        wait_until(lambda: all(task_of(env.database, ref).state == "done" for ref in refs))


def test_a_host_without_a_worker_keeps_no_other_waiting(env):
    lost, lost_ref = new_checkpoint(env.database, env.clock, host="there")
    checkpoint, ref = new_checkpoint(env.database, env.clock)
    with rabbit_corner("here", "there") as corner, worker(env, corner, lambda run: None):
        dispatcher_of(env, QUEUE, corner).dispatch([lost_ref, ref])
        wait_until(lambda: checkpoint_of(env.database, checkpoint).status == "available")
    assert task_of(env.database, lost_ref).sent_at is None


def test_what_older_workers_do_not_know_keeps_no_other_waiting(env, corner):
    checkpoint, ref = new_checkpoint(env.database, env.clock)
    _, unknown = new_checkpoint(env.database, env.clock)
    held = replace(unknown, operation="copy", method=METHODS["copy"])
    with worker(env, corner, lambda run: None):
        dispatcher = dispatcher_of(env, QUEUE, corner)
        dispatcher._client.hold_at(OLDEST)
        dispatcher.dispatch([held, ref])
        wait_until(lambda: checkpoint_of(env.database, checkpoint).status == "available")
    dispatcher.flush()
    assert task_of(env.database, unknown).sent_at is None


def test_directly_a_checkpoint_is_made_before_the_answer(env):
    checkpoint, ref = new_checkpoint(env.database, env.clock)
    assert dispatcher_of(env, DIRECT).dispatch([ref]) is True
    assert checkpoint_of(env.database, checkpoint).status == "available"


def test_directly_a_long_task_goes_on_after_the_answer_and_is_not_begun_twice(env):
    checkpoint, ref = new_checkpoint(env.database, env.clock)
    runs = Runs()
    dispatcher = dispatcher_of(env, DIRECT, work=runs, direct_timeout_s=0.05)
    assert dispatcher.dispatch([ref]) is False
    assert dispatcher.dispatch([ref]) is False
    runs.go.set()
    wait_until(lambda: checkpoint_of(env.database, checkpoint).status == "available")
    assert runs.begun == [checkpoint.id]


def test_directly_a_task_of_another_host_is_not_tried(env):
    checkpoint, ref = new_checkpoint(env.database, env.clock, host="there")
    assert dispatcher_of(env, DIRECT).dispatch([ref]) is False
    assert checkpoint_of(env.database, checkpoint).status == "PENDING"


def test_what_waits_from_queue_days_is_done_in_direct_days(env):
    checkpoint, ref = new_checkpoint(env.database, env.clock)
    with env.database.write() as uow:
        uow.tasks.mark_sent(ref.task_id, env.clock.now())
    relay = Relay(env.database, env.clock, dispatcher_of(env, DIRECT))
    relay.resend_all()
    wait_until(lambda: checkpoint_of(env.database, checkpoint).status == "available")


def test_a_closed_dispatcher_begins_nothing_and_breaks_nothing(env):
    checkpoint, ref = new_checkpoint(env.database, env.clock)
    dispatcher = dispatcher_of(env, DIRECT)
    dispatcher.close(PATIENCE_S)
    assert dispatcher.dispatch([ref]) is False
    assert checkpoint_of(env.database, checkpoint).status == "PENDING"


def test_a_mode_without_its_means_is_refused(env):
    with pytest.raises(ConfigurationError, match="dispatch"):
        dispatcher_of(env, QUEUE)


def test_a_worker_that_is_stopped_hands_back_what_runs_and_another_finishes_it(env, corner):
    checkpoint, ref = new_checkpoint(env.database, env.clock)
    begun = threading.Event()

    def work(run) -> None:
        begun.set()
        while True:
            run.progress.check()
            threading.Event().wait(0.01)

    with worker(env, corner, work) as server:
        dispatcher_of(env, QUEUE, corner).dispatch([ref])
        assert begun.wait(PATIENCE_S)
        assert server.stop(PATIENCE_S)
    task = task_of(env.database, ref)
    assert (task.state, task.attempts, task.sent_at) == ("pending", 0, None)
    run_task(env_of(env.database, env.clock, owner="worker:2"), ref)
    assert checkpoint_of(env.database, checkpoint).status == "available"


def test_a_task_killed_between_claim_and_end_is_handed_over(any_database):
    clock = ManualClock()
    env = env_of(any_database, clock)
    checkpoint, ref = new_checkpoint(any_database, clock)
    claim_and_vanish(env, ref)
    makers = dict.fromkeys(METHODS, lambda: Scripted(env, lambda run: None))
    reconciler = Reconciler(any_database, clock, makers)
    assert reconciler.run_once() == 0
    clock.advance(61)
    assert reconciler.run_once() == 1
    Relay(any_database, clock, dispatcher_of(env, DIRECT)).run_once()
    wait_until(lambda: checkpoint_of(any_database, checkpoint).status == "available")


def test_marks_are_written_without_anybody_waiting_for_them(env):
    marked, other = new_checkpoint(env.database, env.clock)[1], new_checkpoint(env.database, env.clock)[1]
    dispatcher = dispatcher_of(env, QUEUE, Corner.of("fake://"))
    dispatcher.dispatch([marked])
    wait_until(lambda: task_of(env.database, marked).sent_count == 1)
    dispatcher.dispatch([other])
    dispatcher.close(PATIENCE_S)
    assert task_of(env.database, other).sent_count == 1
