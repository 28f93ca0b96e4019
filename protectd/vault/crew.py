"""The workers of one operation, as its planner sees them: jobs go out, replies come in."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any, Protocol, Self

from protectd.vault.errors import WorkerLost
from protectd.vault.pool import DONE, FAILED, STOP_GRACE_S, Channel, Place, Pool, Role, receive, send
from protectd.vault.shared import CancelFlag

Plain = tuple[Any, ...]
"""A named tuple on its way to another process, without its name: that is pickled four times as fast."""

REPLY = "reply"
DEPTH = 2
"""Jobs a worker has at a time: one in hand and one to go on with while its reply travels."""


class Handler(Protocol):
    """What a worker does with its jobs."""

    def handle(self, job: Any) -> Any: ...

    def finish(self) -> Any:
        """After the last job; what it returns is the role's result."""

    def close(self) -> None:
        """Release what is held, after a failure too."""


def work(handler: Handler, channel: Channel) -> Any:
    """One reply for each job, until None comes."""
    try:
        while (job := channel.recv()) is not None:
            channel.send((REPLY, handler.handle(job)))
        return handler.finish()
    finally:
        handler.close()


@dataclass(eq=False)
class _Worker:
    place: Place
    tickets: deque[Any] = field(default_factory=deque)
    ended: bool = False


class Crew:
    """Used from one thread. Left because of an error, it raises the flag and waits for its workers to stop,
    so that none of them writes on after the operation."""

    def __init__(self, pool: Pool, roles: Iterable[Role], cancel: CancelFlag) -> None:
        self._pool = pool
        self._cancel = cancel
        self._workers: list[_Worker] = []
        for role in roles:
            self._workers.append(_Worker(pool.start(role)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._abort([worker for worker in self._workers if not worker.ended])

    @property
    def busy(self) -> int:
        """Jobs whose replies have not come."""
        return sum(len(worker.tickets) for worker in self._workers)

    @property
    def has_room(self) -> bool:
        return any(len(worker.tickets) < DEPTH for worker in self._workers)

    def give(self, job: Any, ticket: Any) -> None:
        """Hand a job to the worker with the fewest. Small enough for a socket's buffer, or this may block."""
        worker = min(self._workers, key=lambda each: len(each.tickets))
        worker.tickets.append(ticket)
        self._send(worker, job)

    def replies(self, timeout_s: float) -> list[tuple[Any, Any]]:
        """(ticket, reply) of what has come, after waiting for the first up to `timeout_s`.

        :raises ProtectdError: what a worker failed with.
        """
        ready = wait([worker.place.channel for worker in self._workers if not worker.ended], timeout_s)
        return [self._receive(worker) for worker in self._workers if worker.place.channel in ready]

    def _receive(self, worker: _Worker) -> tuple[Any, Any]:
        tag, value = receive(worker.place)
        if tag == FAILED:
            self._end(worker)
            raise value
        return worker.tickets.popleft(), value

    def finish(self) -> Iterable[Any]:
        """The workers' results, one at a time; no job is given after this."""
        for worker in self._workers:
            self._send(worker, None)
        for worker in self._workers:
            tag, value = receive(worker.place)
            self._end(worker)
            if tag == FAILED:
                raise value
            yield value

    def _send(self, worker: _Worker, message: Any) -> None:
        """Where a worker has failed and gone before it took the message, what it said tells why."""
        try:
            send(worker.place, message)
        except WorkerLost as lost:
            error = _last_words(worker.place)
            if error is None:
                raise
            self._end(worker)
            raise error from lost

    def _end(self, worker: _Worker) -> None:
        worker.ended = True
        self._pool.release(worker.place)

    def _abort(self, workers: list[_Worker]) -> None:
        if not workers:
            return
        self._cancel.set()
        deadline = time.monotonic() + STOP_GRACE_S
        for worker in workers:
            with suppress(WorkerLost):
                send(worker.place, None)
        for worker in workers:
            if _stops(worker.place, deadline):
                self._end(worker)
            else:
                self._pool.discard(worker.place)


def _last_words(place: Place) -> Exception | None:
    """What a role that is gone has failed with, if it said so."""
    with suppress(WorkerLost, OSError):
        while place.channel.poll():
            tag, value = receive(place)
            if tag == FAILED:
                return value  # type: ignore[no-any-return]
    return None


def _stops(place: Place, deadline: float) -> bool:
    with suppress(WorkerLost):
        while place.channel.poll(max(0.0, deadline - time.monotonic())):
            if receive(place)[0] in (DONE, FAILED):
                return True
    return False
