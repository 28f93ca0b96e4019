"""What a planner hears of workers that have gone."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from protectd.plugin.base import BankUnavailable
from protectd.vault.crew import Crew, work
from protectd.vault.errors import WorkerLost
from protectd.vault.pool import Channel, Pool, ThreadPool
from protectd.vault.shared import CancelFlag


class Refuses:
    def handle(self, job: Any) -> Any:
        raise BankUnavailable(reason=f"no answer to {job}")

    def finish(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Refusing:
    def run(self, channel: Channel, pool: Pool) -> Any:
        return work(Refuses(), channel)


@dataclass(frozen=True)
class Vanishing:
    def run(self, channel: Channel, pool: Pool) -> Any:
        raise ConnectionError


class Watched(ThreadPool):
    """Keeps the threads of its roles."""

    def __init__(self) -> None:
        self.places: list[Any] = []

    def start(self, role: Any) -> Any:
        self.places.append(super().start(role))
        return self.places[-1]

    def wait(self) -> None:
        for place in self.places:
            place.thread.join(30)
            assert not place.thread.is_alive()


def test_a_worker_that_failed_before_it_was_given_more_tells_why() -> None:
    pool = Watched()
    with closing(CancelFlag.create()) as cancel, Crew(pool, [Refusing()], cancel) as crew:
        crew.give("one", None)
        pool.wait()
        with pytest.raises(BankUnavailable, match="no answer to one"):
            crew.give("two", None)


def test_a_worker_that_failed_before_the_end_tells_why() -> None:
    pool = Watched()
    with closing(CancelFlag.create()) as cancel, Crew(pool, [Refusing()], cancel) as crew:
        crew.give("one", None)
        pool.wait()
        with pytest.raises(BankUnavailable, match="no answer to one"):
            list(crew.finish())


def test_a_worker_that_went_without_a_word_is_lost() -> None:
    pool = Watched()
    with closing(CancelFlag.create()) as cancel, Crew(pool, [Vanishing()], cancel) as crew:
        pool.wait()
        with pytest.raises(WorkerLost):
            crew.give("one", None)
