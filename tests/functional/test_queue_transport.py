from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count

import oslo_messaging
import pytest
from oslo_config import cfg

from protectd.common.context import RequestContext
from protectd.common.errors import ConfigurationError
from protectd.queue.client import TaskClient, WorkerSilent, WorkerTooOld
from protectd.queue.contract import (
    METHODS,
    NO_HINT,
    OLDEST,
    VERSION,
    ContractMismatch,
    Hint,
    context_to_message,
)
from protectd.queue.publisher import HeldBack, NobodyListens, QueueUnavailable
from protectd.queue.server import Tasks, TaskServer
from protectd.queue.transport import is_in_process, make_transport
from tests.fakes.brokers import (
    Corner,
    line_to_rabbit,
    queued_messages,
    rabbit_corner,
    silent_broker,
    unreachable_broker,
)

CONTEXT = RequestContext("req-1", "project", "user", ("member",))
MESSAGE = context_to_message(CONTEXT)
PATIENCE_S = 20.0


def transport_of(url: str) -> oslo_messaging.Transport:
    conf = cfg.ConfigOpts()
    conf([], project="protectd")
    transport = make_transport(conf, url)
    if not is_in_process(url):
        conf.set_override("rabbit_transient_queues_ttl", 60, group="oslo_messaging_rabbit")
    return transport


def client_of(corner: Corner, budget_s: float = 10.0) -> TaskClient:
    budget = None if is_in_process(corner.url) else budget_s
    return TaskClient(transport_of(corner.url), corner.topic, budget, corner.exchange)


class Inbox:
    """Takes down what arrives for one worker."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, RequestContext]] = []
        self.arrived = threading.Condition()

    def process_and_suppress_exceptions(
        self, context: RequestContext, task_id: str, *, hint: Hint = NO_HINT
    ) -> None:
        with self.arrived:
            self.seen.append((task_id, context))
            self.arrived.notify_all()

    def wait_for(self, count: int) -> list[str]:
        with self.arrived:
            self.arrived.wait_for(lambda: len(self.seen) >= count, PATIENCE_S)
            return [task_id for task_id, _ in self.seen]


@contextmanager
def worker(
    corner: Corner, host: str = "a", inbox: Inbox | None = None, kind: type[Tasks] = Tasks
) -> Iterator[Inbox]:
    inbox = inbox or Inbox()
    server = TaskServer(
        transport_of(corner.url),
        kind(dict.fromkeys(METHODS, lambda: inbox), host),
        host=host,
        stopping=threading.Event(),
        topic=corner.topic,
        exchange=corner.exchange,
        client=TaskClient,
    )
    server.start()
    assert server.wait_until_listening(PATIENCE_S)
    try:
        yield inbox
    finally:
        assert server.stop(PATIENCE_S)


@pytest.fixture(params=["fake", "rabbit"])
def corner(request) -> Iterator[Corner]:
    with ExitStack() as stack:
        if request.param == "fake":
            yield Corner.of("fake://")
        else:
            yield stack.enter_context(rabbit_corner("a", "b"))


@pytest.fixture
def rabbit() -> Iterator[Corner]:
    with rabbit_corner("a", "b") as corner:
        yield corner


def test_a_message_carries_the_task_and_who_asked(corner):
    with worker(corner) as inbox:
        client_of(corner).process_checkpoint(MESSAGE, "task-1")
        inbox.wait_for(1)
    assert inbox.seen == [("task-1", CONTEXT)]


def test_every_operation_arrives(corner):
    with worker(corner) as inbox:
        client = client_of(corner)
        for operation, method in METHODS.items():
            getattr(client, method)(MESSAGE, operation)
        assert sorted(inbox.wait_for(len(METHODS))) == sorted(METHODS)


def test_a_task_of_a_host_goes_to_the_worker_there(corner):
    with worker(corner, "a") as here, worker(corner, "b") as there:
        client = client_of(corner)
        for number in range(4):
            client.process_restore(MESSAGE, f"task-{number}", host="b")
        there.wait_for(4)
    assert (len(here.seen), len(there.seen)) == (0, 4)


def test_two_workers_share_what_any_of_them_may_do(rabbit):
    with worker(rabbit, "a") as one, worker(rabbit, "b") as other:
        client = client_of(rabbit)
        for number in range(10):
            client.process_verify(MESSAGE, f"task-{number}")
        one.wait_for(5)
        other.wait_for(5)
    assert (len(one.seen), len(other.seen)) == (5, 5)


@pytest.mark.parametrize("method", ["_process", "__init__", "_operations", "shutdown", "process_everything"])
def test_other_methods_are_refused_and_the_worker_lives_on(corner, method):
    with worker(corner) as inbox:
        target = oslo_messaging.Target(exchange=corner.exchange, topic=corner.topic)
        rpc = oslo_messaging.get_rpc_client(transport_of(corner.url), target, timeout=PATIENCE_S)
        with pytest.raises((oslo_messaging.RemoteError, oslo_messaging.NoSuchMethod)) as caught:
            rpc.call({}, method, task_id="x")
        assert "does not support RPC method" in str(caught.value)
        client_of(corner).process_prune(MESSAGE, "good")
        assert inbox.wait_for(1) == ["good"]


def test_a_ping_is_answered_by_the_worker_that_is_asked(corner):
    with worker(corner, "a"), worker(corner, "b"):
        client = client_of(corner)
        for host in ("a", "b"):
            assert client.ping(host, PATIENCE_S) == {"host": host, "version": VERSION}
        assert client.ping(timeout_s=PATIENCE_S)["host"] in ("a", "b")


def test_nobody_who_answers_is_an_error_in_time(rabbit):
    silent = pytest.raises(WorkerSilent, match="worker elsewhere has not answered within 0.5 s")
    with worker(rabbit, "a"), silent:
        client_of(rabbit).ping("elsewhere", 0.5)


def test_a_broker_that_is_not_there_answers_no_ping():
    with pytest.raises(WorkerSilent):
        client_of(Corner.of(unreachable_broker())).ping(timeout_s=0.5)


def test_messages_that_are_held_at_an_older_version_have_no_ping_and_still_arrive(corner):
    with worker(corner) as inbox:
        client = client_of(corner)
        client.hold_at(OLDEST)
        with pytest.raises(WorkerTooOld, match=OLDEST):
            client.ping(timeout_s=PATIENCE_S)
        client.process_verify(MESSAGE, "task-1")
        assert inbox.wait_for(1) == ["task-1"]


@pytest.mark.parametrize("method", ["process_copy", "process_preview"])
def test_what_older_workers_do_not_know_is_held_back(corner, method):
    with worker(corner) as inbox:
        client = client_of(corner)
        client.hold_at("1.1")
        with pytest.raises(HeldBack, match=f"version 1.1, which has no {method}"):
            getattr(client, method)(MESSAGE, "task-1")
        client.hold_at(VERSION)
        getattr(client, method)(MESSAGE, "task-2")
        assert inbox.wait_for(1) == ["task-2"]


def test_a_worker_of_the_version_before_takes_what_it_knows(corner):
    """As in an upgrade one by one: its messages are those of 1.0."""

    class Before(Tasks):
        target = oslo_messaging.Target(version=OLDEST)

    with worker(corner, kind=Before) as inbox:
        client_of(corner).process_restore(MESSAGE, "task-1")
        assert inbox.wait_for(1) == ["task-1"]


def test_a_worker_that_rests_takes_nothing_until_it_starts_again(rabbit):
    inbox, stopping = Inbox(), threading.Event()
    tasks = Tasks(dict.fromkeys(METHODS, lambda: inbox))
    names = {"topic": rabbit.topic, "exchange": rabbit.exchange}
    server = TaskServer(transport_of(rabbit.url), tasks, host="a", stopping=stopping, **names)
    server.start()
    assert server.wait_until_listening(PATIENCE_S)
    client = client_of(rabbit)
    client.process_prune(MESSAGE, "before")
    inbox.wait_for(1)
    server.rest()
    last = _send_until_nobody_reads(rabbit, client)
    assert last not in [task_id for task_id, _ in inbox.seen]
    taken = len(inbox.seen)
    server.start()
    assert last in inbox.wait_for(taken + 1)
    assert server.stop(PATIENCE_S)


def test_the_end_of_a_worker_that_rests_waits_for_what_it_still_runs(corner):
    begun, go = threading.Event(), threading.Event()

    class Slow(Inbox):
        def process_and_suppress_exceptions(self, context, task_id, *, hint=NO_HINT):
            begun.set()
            assert go.wait(PATIENCE_S)
            super().process_and_suppress_exceptions(context, task_id)

    inbox = Slow()
    tasks = Tasks(dict.fromkeys(METHODS, lambda: inbox))
    names = {"topic": corner.topic, "exchange": corner.exchange}
    server = TaskServer(transport_of(corner.url), tasks, host="a", stopping=threading.Event(), **names)
    server.start()
    assert server.wait_until_listening(PATIENCE_S)
    client_of(corner).process_prune(MESSAGE, "long")
    assert begun.wait(PATIENCE_S)
    server.rest()
    assert not server.stop(0.2)
    go.set()
    assert server.stop(PATIENCE_S)
    assert [task_id for task_id, _ in inbox.seen] == ["long"]


def test_a_worker_that_waits_for_its_broker_may_rest_and_start_and_listens_once():
    tasks = Tasks(dict.fromkeys(METHODS, Inbox))
    server = TaskServer(transport_of(unreachable_broker()), tasks, host="a", stopping=threading.Event())
    others = _listeners()
    for _ in range(3):
        server.start()
        server.rest()
        server.start()
        server.start()
    deadline = time.monotonic() + PATIENCE_S
    while len(_listeners() - others) > 1:  # one that was told to rest may be at its last step
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(_listeners() - others) == 1
    assert server.stop(PATIENCE_S)


def _listeners() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "task-listener"}


def _send_until_nobody_reads(corner: Corner, client: TaskClient) -> str:
    """A listener that is told to rest may take some more first. :returns: the message that nobody took."""
    deadline = time.monotonic() + PATIENCE_S
    for number in count():
        client.process_prune(MESSAGE, f"probe-{number}")
        time.sleep(0.2)
        if queued_messages(corner) > 0:
            return f"probe-{number}"
        assert time.monotonic() < deadline
    raise AssertionError


def test_a_message_with_other_arguments_does_no_harm(corner):
    with worker(corner) as inbox:
        target = oslo_messaging.Target(exchange=corner.exchange, topic=corner.topic)
        rpc = oslo_messaging.get_rpc_client(transport_of(corner.url), target)
        rpc.cast({}, "process_restore", plan="x", password="y")
        client_of(corner).process_restore(MESSAGE, "good")
        assert inbox.wait_for(1) == ["good"]


def test_a_task_that_raises_does_not_end_the_worker(corner):
    class Clumsy(Inbox):
        def process_and_suppress_exceptions(self, context, task_id, *, hint=NO_HINT):
            super().process_and_suppress_exceptions(context, task_id)
            raise RuntimeError(task_id)

    with worker(corner, inbox=Clumsy()) as inbox:
        client = client_of(corner)
        client.process_checkpoint(MESSAGE, "bad")
        client.process_checkpoint(MESSAGE, "worse")
        assert sorted(inbox.wait_for(2)) == ["bad", "worse"]


def test_messages_wait_for_a_worker_that_is_down(rabbit):
    with worker(rabbit):
        pass
    client_of(rabbit).process_checkpoint(MESSAGE, "task-1")
    assert queued_messages(rabbit) == 1
    with worker(rabbit) as inbox:
        assert inbox.wait_for(1) == ["task-1"]


def test_a_message_that_no_queue_takes_is_not_taken_for_sent(rabbit):
    with pytest.raises(NobodyListens):
        client_of(rabbit).process_checkpoint(MESSAGE, "task-1")


def test_a_broker_that_is_not_there_is_told_at_once():
    client = client_of(Corner.of(unreachable_broker()))
    with pytest.raises(QueueUnavailable):
        client.process_checkpoint(MESSAGE, "task-1")


def test_a_broker_that_is_silent_costs_one_budget_and_the_next_callers_nothing():
    with silent_broker() as url:
        client = client_of(Corner.of(url), budget_s=0.5)
        waited = [_seconds_until_refused(client) for _ in range(20)]
    # Twenty budgets would be ten seconds: this bound is about waiting in line, not about speed.
    assert sum(waited) < 5


def test_a_broker_that_falls_silent_costs_one_budget_and_is_used_again_when_it_wakes(rabbit):
    with worker(rabbit) as inbox, line_to_rabbit() as (line, url):
        client = client_of(Corner(url, rabbit.topic, rabbit.exchange), budget_s=0.5)
        _send_when_possible(client, "before")
        line.hold()
        waited = [_seconds_until_refused(client) for _ in range(20)]
        line.release()
        _send_when_possible(client, "after")
        assert {"before", "after"} <= set(inbox.wait_for(3))
    # As above: twenty budgets would be ten seconds.
    assert sum(waited) < 5


def test_a_broken_connection_of_a_sender_costs_no_message(rabbit):
    with worker(rabbit) as inbox, line_to_rabbit() as (line, url):
        client = client_of(Corner(url, rabbit.topic, rabbit.exchange))
        client.process_delete(MESSAGE, "before")
        line.cut()
        client.process_delete(MESSAGE, "after")
        assert sorted(inbox.wait_for(2)) == ["after", "before"]


def test_a_worker_whose_connection_broke_listens_again(rabbit):
    with line_to_rabbit() as (line, url), worker(Corner(url, rabbit.topic, rabbit.exchange)) as inbox:
        client = client_of(rabbit)
        client.process_delete(MESSAGE, "before")
        inbox.wait_for(1)
        line.cut()
        client.process_delete(MESSAGE, "after")
        assert inbox.wait_for(2) == ["before", "after"]


def _send_when_possible(client: TaskClient, task_id: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return client.process_delete(MESSAGE, task_id)
        except QueueUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def _seconds_until_refused(client: TaskClient) -> float:
    begin = time.monotonic()
    with pytest.raises(QueueUnavailable):
        client.process_checkpoint(MESSAGE, "task")
    return time.monotonic() - begin


def test_a_worker_whose_broker_is_down_starts_and_stops_without_it():
    corner = Corner.of(unreachable_broker())
    stopping = threading.Event()
    tasks = Tasks(dict.fromkeys(METHODS, Inbox))
    server = TaskServer(transport_of(corner.url), tasks, host="a", stopping=stopping, topic=corner.topic)
    server.start()
    assert not server.wait_until_listening(0.2)
    assert server.stop(PATIENCE_S)
    assert stopping.is_set()


def test_a_worker_that_does_not_read_what_is_sent_does_not_start():
    def process_prune(self, context, vault_id): ...

    other = type("Other", (Tasks,), {"process_prune": process_prune})(dict.fromkeys(METHODS, Inbox))
    make: Callable[[], TaskServer] = lambda: TaskServer(  # noqa: E731
        transport_of("fake://"), other, host="a", stopping=threading.Event(), client=TaskClient
    )
    with pytest.raises(ContractMismatch, match="process_prune"):
        make()


def test_a_url_without_a_driver_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match="transport_url"):
        transport_of("pigeon://loft/")


def test_only_the_fake_transport_loses_its_messages_with_the_process():
    assert is_in_process("fake://")
    assert not is_in_process("rabbit://guest:guest@127.0.0.1:5672/")
