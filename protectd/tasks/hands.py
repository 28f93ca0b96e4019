"""What this process has in hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Hands:
    """Ids of the tasks that run in this process. A task whose lease was lost runs on for a moment; until it
    has noticed, this process does not take it anew. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: set[str] = set()

    def held(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._held)

    @contextmanager
    def holding(self, task_id: str) -> Iterator[None]:
        with self._lock:
            self._held.add(task_id)
        try:
            yield
        finally:
            with self._lock:
                self._held.discard(task_id)
