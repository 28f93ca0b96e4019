"""Named points in the course of an operation, met from outside: by rows that are held, and by what lies in
the bank."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.drills.load import Operation
from tests.drills.processes import family, signal_all
from tests.drills.records import Gate
from tests.drills.site import Site
from tests.fakes.daemons import wait_for

WORKING = {"checkpoint": "protecting", "restore": "in_progress"}
MEET_S = 60.0


@dataclass
class Met:
    """An operation at a point.

    :ivar pid: the process that does it.
    :ivar connection: of the database, where it stands still; None: it goes on.
    """

    operation: Operation
    pid: int
    connection: int | None
    gate: Gate | None

    def go_on(self) -> None:
        """Open what it stands before."""
        if self.gate is not None:
            self.gate.open()


Ask = Callable[[], Operation]


@contextmanager
def claimed(site: Site, ask: Ask) -> Iterator[Met]:
    """The lease is taken; the entity's first change has not been written."""
    with _held(site, ask) as (operation, gate):
        yield _standing(site, operation, gate)


@contextmanager
def ending(site: Site, ask: Ask) -> Iterator[Met]:
    """The work is done; the transaction that ends the task is half written."""
    with _held(site, ask) as (operation, gate):
        _standing(site, operation, gate)
        # Work that takes no time is kept from its end until the gate is shut again.
        with site.records.gate("tasks", site.records.task(operation.id).id):
            gate.open()
            working = WORKING[operation.kind]
            _wait("work", lambda: site.records.status(operation.table, operation.id) == working)
            gate.shut()
        yield _standing(site, operation, gate)


@contextmanager
def streaming(site: Site, ask: Ask) -> Iterator[Met]:
    """Some of the data is in the bank, or at the target of a restore."""
    operation = ask()

    def there() -> set[Path]:
        return _files(operation.target or site.vault / "data")

    before = there()
    yield _moving(site, operation, lambda: there() - before)


@contextmanager
def stored(site: Site, ask: Ask) -> Iterator[Met]:
    """The snapshot has just come into the bank; nobody has written that down."""
    operation = ask()
    before = _files(site.vault / "snapshots")
    yield _moving(site, operation, lambda: _files(site.vault / "snapshots") - before)


@contextmanager
def _held(site: Site, ask: Ask) -> Iterator[tuple[Operation, Gate]]:
    """Ask while no worker looks, and hold the row before one does."""
    pids = [pid for worker in site.workers if worker.alive() for pid in family(worker.pid)]
    signal_all(pids, signal.SIGSTOP)
    try:
        operation = ask()
        gate = site.records.gate(operation.table, operation.id)
    finally:
        signal_all(pids, signal.SIGCONT)
    with gate:
        yield operation, gate


def _standing(site: Site, operation: Operation, gate: Gate) -> Met:
    [connection, *_] = _wait("a worker at the gate", gate.waiters)
    return Met(operation, _wait("its owner", lambda: site.records.worker_of(operation.id)), connection, gate)


def _moving(site: Site, operation: Operation, has_come: Callable[[], object]) -> Met:
    pid = _wait("its owner", lambda: site.records.worker_of(operation.id))
    _wait("data", has_come)
    return Met(operation, pid, None, None)


def _files(place: Path) -> set[Path]:
    return {path for path in place.rglob("*") if path.is_file()}


def _wait(what: str, look: Callable[[], Any]) -> Any:
    return wait_for(what, look, MEET_S)
