"""What one message may stand for is gathered; what may not is sent as it comes."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from protectd.queue.publisher import Publisher

LONG_S = 300.0


class Sent:
    """What was sent, and whether it stood for others."""

    def __init__(self) -> None:
        self.all: list[tuple[str, bool]] = []

    def __call__(self, name: str, others: bool = False) -> None:
        self.all.append((name, others))


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    made = Publisher(LONG_S, gather_s=LONG_S)
    yield made
    made.close(LONG_S)


def gather(publisher: Publisher, sent: Sent, name: str, key: str | None = None) -> None:
    publisher.gather(key, lambda others: sent(name, others))


def wait_for_turn(publisher: Publisher) -> None:
    """All that was to be sent at once has been."""
    done = threading.Event()
    publisher.hand_over(done.set)
    assert done.wait(LONG_S)


def test_the_first_is_sent_at_once_and_the_last_of_those_that_follow_later(publisher, sent):
    gather(publisher, sent, "first")
    wait_for_turn(publisher)
    assert sent.all == [("first", False)]
    for name in "abc":
        gather(publisher, sent, name)
    publisher.close(LONG_S)
    assert sent.all == [("first", False), ("c", True)]


def test_one_that_comes_alone_stands_for_itself(publisher, sent):
    for name in ("first", "second"):
        gather(publisher, sent, name)
        wait_for_turn(publisher)
    publisher.close(LONG_S)
    assert sent.all == [("first", False), ("second", False)]


def test_what_is_gathered_holds_up_nothing_else(publisher, sent):
    gather(publisher, sent, "first")
    wait_for_turn(publisher)
    gather(publisher, sent, "gathered")
    publisher.hand_over(lambda: sent("at once"))
    wait_for_turn(publisher)
    assert sent.all == [("first", False), ("at once", False)]


def test_each_host_is_told_of_its_own(publisher, sent):
    for key in ("here", "there", None):
        gather(publisher, sent, f"to {key}", key)
        wait_for_turn(publisher)
    assert sent.all == [("to here", False), ("to there", False), ("to None", False)]


def test_what_is_gathered_is_sent_when_its_time_has_come(sent):
    publisher, done = Publisher(LONG_S, gather_s=0.001), threading.Event()
    gather(publisher, sent, "first")
    wait_for_turn(publisher)
    publisher.gather(None, lambda others: done.set())
    assert done.wait(LONG_S)
    publisher.close(LONG_S)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_waits_when_the_thread_breaks_keeps_nothing_from_being_sent(publisher, sent):
    begun, broken, done = threading.Event(), threading.Event(), threading.Event()

    def break_down() -> None:
        begun.set()
        broken.wait(LONG_S)
        raise ZeroDivisionError

    publisher.hand_over(break_down)
    begun.wait(LONG_S)
    gather(publisher, sent, "first")
    thread = publisher._thread
    broken.set()
    thread.join(LONG_S)
    publisher.gather(None, lambda others: done.set())
    assert done.wait(LONG_S)
