"""What is compared: a service with an API, workers and rows, whoever wrote it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import BindParameter, bindparam, create_engine, text
from sqlalchemy.pool import NullPool

from tests.benchmarks.line import Request
from tests.benchmarks.measure import below, cpu_of
from tests.fakes.daemons import Daemon, close

LOOK_S = 0.02
STUCK_S = 120.0
SHOWN = 10
"""Entries of the lists that are asked for."""


class Watch:
    """Looks at what was asked for, in the database and not by the API: the service is left to its work.

    :param table: has a row, with a `status`, for each accepted request.
    """

    def __init__(self, url: str, table: str, waiting: Sequence[str], good: str) -> None:
        engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        self._connection = engine.connect()
        self._waiting, self._good = tuple(waiting), good
        few: BindParameter[Any] = bindparam("waiting", expanding=True)
        self._count = text(f"SELECT COUNT(*) FROM {table} WHERE status IN :waiting").bindparams(few)
        self._bad = text(f"SELECT COUNT(*) FROM {table} WHERE status <> :good")
        self._status = text(f"SELECT status FROM {table} WHERE id = :id")

    def waiting(self) -> int:
        return int(self._connection.execute(self._count, {"waiting": self._waiting}).scalar_one())

    def is_over(self, id: str) -> bool:
        return self._connection.execute(self._status, {"id": id}).scalar_one() not in self._waiting

    def until(self, most: int) -> float:
        """When at most so many were found waiting: a moment of the monotonic clock."""
        last, since = -1, time.monotonic()
        while (now_waiting := self.waiting()) > most:
            if now_waiting != last:
                last, since = now_waiting, time.monotonic()
            if time.monotonic() - since > STUCK_S:
                raise RuntimeError(f"{now_waiting} wait and nothing happens")
            time.sleep(LOOK_S)
        return time.monotonic()

    def until_over(self) -> float:
        """When nothing waited any more, and all had ended well."""
        over = self.until(0)
        bad = int(self._connection.execute(self._bad, {"good": self._good}).scalar_one())
        if bad:
            raise RuntimeError(f"{bad} ended badly")
        return over

    def close(self) -> None:
        self._connection.close()


class Side:
    """Nothing of it runs until it is told to; what it has in its database stays."""

    name: str
    endpoint: str
    watch: Watch
    warm_up: ClassVar[int] = 40

    def __init__(self, base: Path) -> None:
        self.base = base
        self._front: list[Daemon] = []
        self._workers: list[Daemon] = []

    @contextmanager
    def running(self, workers: int = 1) -> Iterator[None]:
        try:
            self.start()
            self.start_workers(workers)
            yield
        finally:
            close(*self._front, *self._workers)
            self._front, self._workers = [], []

    def cpu_s(self) -> float:
        """That all its living processes have used."""
        daemons = [*self._front, *self._workers]
        return sum(cpu_of(pid) for daemon in daemons if daemon.alive() for pid in below(daemon.pid))

    def start(self) -> None:
        """All but the workers; returns when it answers."""
        raise NotImplementedError

    def start_workers(self, count: int) -> None:
        self._workers = [self.worker(number) for number in range(count)]
        for worker in self._workers:
            worker.start()

    def stop_workers(self) -> None:
        close(*self._workers)

    def worker(self, number: int) -> Daemon:
        raise NotImplementedError

    def requests(self) -> list[Request]:
        """What is POSTed; the connections share them out."""
        raise NotImplementedError

    def who(self) -> dict[str, str]:
        """Headers that say who asks."""
        raise NotImplementedError

    def everyday(self) -> dict[str, Request]:
        """The requests that any client makes, by their names, on what is there when it runs."""
        raise NotImplementedError
