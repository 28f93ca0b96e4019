"""What the work of a task has begun, kept in its row."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from protectd.common.clock import Clock
from protectd.model.models import Task
from protectd.model.unit_of_work import Database, UnitOfWork
from protectd.plugin.base import Marks
from protectd.tasks.errors import LeaseLost


class TaskMarks(Marks):
    """Thread safe. Written with the token of the claim: who lost the lease begins nothing any more."""

    def __init__(self, database: Database, clock: Clock, task: Task) -> None:
        """:param task: as its claim left it."""
        super().__init__(task.marks or ())
        self._database = database
        self._clock = clock
        self._task_id = task.id
        self._token = task.lease_token or ""
        self._lock = threading.Lock()

    def find(self, prefix: str) -> str | None:
        """The one that begins so."""
        with self._lock:
            return next((mark for mark in self._known if mark.startswith(prefix)), None)

    def add(self, mark: str) -> None:
        """:raises LeaseLost: the task is another's. :raises Unavailable: the database is away."""
        with self._lock:
            self._keep(self._known | {mark})

    def replace(self, prefix: str, mark: str) -> None:
        """Have this one in place of those that begin so. Errors as `add`."""
        with self._lock:
            self._keep({each for each in self._known if not each.startswith(prefix)} | {mark})

    def count(self, prefix: str) -> int:
        with self._lock:
            return sum(mark.startswith(prefix) for mark in self._known)

    @contextmanager
    def within(self) -> Iterator[tuple[UnitOfWork, Callable[[str], None]]]:
        """A unit of work, and a way to add marks that last if and only if what it does lasts. Errors as
        `add`."""
        added: set[str] = set()
        with self._database.write() as uow:
            yield uow, added.add
            with self._lock:
                marks = self._known | added
            self._write(uow, marks)
        with self._lock:
            self._known |= added

    def _write(self, uow: UnitOfWork, marks: set[str]) -> None:
        if not uow.tasks.keep_marks(self._task_id, self._token, sorted(marks), self._clock.now()):
            raise LeaseLost(task_id=self._task_id)

    def _keep(self, marks: set[str]) -> None:
        with self._database.write() as uow:
            self._write(uow, marks)
        self._known = marks
