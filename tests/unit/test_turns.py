"""Turns: one at a time, first come first served, none lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from protectd.model.turns import Turns

PATIENCE_S = 20.0


class Line:
    """Threads that wait for one turn, each known to stand in line before the next one comes."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.served: list[str] = []
        self._threads: list[threading.Thread] = []

    def join(self, name: str) -> None:
        before = len(self.turns._waiting)
        thread = threading.Thread(target=self._wait, args=(name,))
        self._threads.append(thread)
        thread.start()
        deadline = time.monotonic() + PATIENCE_S
        while len(self.turns._waiting) == before and time.monotonic() < deadline:
            time.sleep(0.001)

    def end(self) -> list[str]:
        for thread in self._threads:
            thread.join(PATIENCE_S)
        return self.served

    def _wait(self, name: str) -> None:
        assert self.turns.take(PATIENCE_S)
        self.served.append(name)
        self.turns.give_back()


def test_who_comes_first_is_served_first() -> None:
    turns = Turns()
    line = Line(turns)
    assert turns.take(0)
    for name in "abcdef":
        line.join(name)
    turns.give_back()
    assert line.end() == list("abcdef")


def test_who_gives_it_back_cannot_take_it_again_before_those_who_wait() -> None:
    turns = Turns()
    line = Line(turns)
    assert turns.take(0)
    line.join("patient")
    turns.give_back()
    assert turns.take(PATIENCE_S)
    assert line.served == ["patient"]
    turns.give_back()


def test_a_wait_that_is_over_leaves_nothing_behind() -> None:
    turns = Turns()
    assert turns.take(0)
    assert not turns.take(0.01)
    turns.give_back()
    assert turns.take(0)
    assert not turns.take(0)


def test_many_threads_with_short_patience_are_never_two_at_once_and_the_turn_is_never_lost() -> None:
    turns, inside, most = Turns(), [0], [0]

    def work(_: int) -> bool:
        if not turns.take(0.002):
            return False
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.0005)
        inside[0] -= 1
        turns.give_back()
        return True

    with ThreadPoolExecutor(12) as pool:
        assert any(pool.map(work, range(600)))
    assert most == [1]
    assert turns.take(0)
