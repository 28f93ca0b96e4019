"""What the work of a task has begun, kept in its row."""

from __future__ import annotations

import threading

from protectd.common.clock import Clock
from protectd.model.models import Task
from protectd.model.unit_of_work import Database
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

    def _keep(self, marks: set[str]) -> None:
        with self._database.write() as uow:
            if not uow.tasks.keep_marks(self._task_id, self._token, sorted(marks), self._clock.now()):
                raise LeaseLost(task_id=self._task_id)
        self._known = marks
