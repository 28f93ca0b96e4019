"""What one thread does for many."""

from __future__ import annotations

import threading

import pytest

from protectd.tasks.errands import MOST, Errands


@pytest.fixture
def errands() -> Errands:
    return Errands()


def test_who_finds_nobody_at_work_does_it(errands):
    done = []
    errands.bring(lambda: done.append(threading.current_thread()))
    errands.bring(lambda: done.append(threading.current_thread()))
    assert done == [threading.current_thread()] * 2


def test_what_is_brought_to_who_is_at_work_is_done_by_that_one_and_in_order(errands):
    done = []

    def first() -> None:
        thread = threading.Thread(target=lambda: [errands.bring(note(number)) for number in range(3)])
        thread.start()
        thread.join()
        assert done == []

    def note(number: int):
        return lambda: done.append((number, threading.current_thread()))

    errands.bring(first)
    assert done == [(number, threading.current_thread()) for number in range(3)]


def test_who_finds_too_much_waiting_does_its_own(errands):
    done = []

    def first() -> None:
        for number in range(MOST + 2):
            errands.bring(lambda number=number: done.append(number))
        assert done == [MOST, MOST + 1]

    errands.bring(first)
    assert sorted(done) == list(range(MOST + 2))


def test_one_whose_thread_ends_in_the_middle_keeps_nobody_from_work(errands):
    done = []

    def broken() -> None:
        errands.bring(lambda: done.append("left"))
        raise SystemExit

    with pytest.raises(SystemExit):
        errands.bring(broken)
    errands.bring(lambda: done.append("next"))
    assert done == ["left", "next"]


def test_not_even_when_as_much_waits_as_may(errands):
    done = []

    def broken() -> None:
        for number in range(MOST):
            errands.bring(lambda number=number: done.append(number))
        raise SystemExit

    with pytest.raises(SystemExit):
        errands.bring(broken)
    errands.bring(lambda: done.append(MOST))
    assert done == list(range(MOST + 1))


def test_nothing_that_many_bring_at_once_is_lost_or_done_twice(errands):
    done: list[int] = []
    go = threading.Event()

    def bring(own: int) -> None:
        go.wait()
        for number in range(200):
            errands.bring(lambda number=number: done.append(own * 1000 + number))

    threads = [threading.Thread(target=bring, args=[own]) for own in range(8)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    assert sorted(done) == [own * 1000 + number for own in range(8) for number in range(200)]
