"""What this process has in hand."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

REMEMBERED = 10_000
"""A message about a task that was forgotten costs one look at its row."""

PASSED_OVER = 1_000
"""Each is named whenever a task is taken."""


class Hands:
    """Ids of the tasks that run in this process. A task whose lease was lost runs on for a moment; until it
    has noticed, this process does not take it anew. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: set[str] = set()
        self._ended: OrderedDict[str, bool] = OrderedDict()
        self._strange: OrderedDict[str, bool] = OrderedDict()

    def knows(self, task_id: str) -> bool:
        """Whether a message about this task tells nothing: it runs here, and what its lease was lost with is
        taken anew when that has ended; or its end was written here. That is taken for known once: who says
        it again may have a row that has lost its end, as behind a failover."""
        with self._lock:
            return task_id in self._held or self._ended.pop(task_id, False)

    def note_end(self, task_id: str) -> None:
        """After the commit that has ended it for good."""
        with self._lock:
            _keep(self._ended, task_id, REMEMBERED)

    def held(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._held)

    def note_strange(self, task_id: str) -> None:
        """This process cannot do it."""
        with self._lock:
            _keep(self._strange, task_id, PASSED_OVER)

    def passes_over(self) -> frozenset[str]:
        """What is not to be taken by turns: what is held, and what cannot be done here."""
        with self._lock:
            return frozenset(self._held).union(self._strange)

    @contextmanager
    def holding(self, task_id: str) -> Iterator[None]:
        with self._lock:
            self._held.add(task_id)
        try:
            yield
        finally:
            with self._lock:
                self._held.discard(task_id)


def _keep(known: OrderedDict[str, bool], task_id: str, most: int) -> None:
    known[task_id] = True
    if len(known) > most:
        known.popitem(last=False)
