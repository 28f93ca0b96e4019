"""Keeping a lease while its task runs."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Any, Self

from protectd.common.clock import Clock
from protectd.common.errors import Cancelled, Unavailable
from protectd.common.trail import carried
from protectd.model.unit_of_work import Database
from protectd.tasks.env import TaskOptions
from protectd.tasks.errors import DeadlinePassed, LeaseLost
from protectd.tasks.lease_watch import LeaseWatch
from protectd.tasks.progress import TaskProgress

LOG = logging.getLogger(__name__)

BEAT_S = 1.0
"""Progress is written this often at most."""

ASK_S = 3.0
"""A request to cancel is noticed within this."""


class LeaseKeeper:
    """Renews one lease, writes progress, and learns of a cancel request or a lost lease.

    Work that gives no sign of life for too long is not spoken for any more: its lease runs out, and another
    may try. The lease counts as lost also when the database was away for so long that it may have run out: by
    this process's own clock, from before the last renewal that is known to have worked.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        task_id: str,
        token: str,
        options: TaskOptions,
        progress: TaskProgress,
        watch: LeaseWatch,
    ) -> None:
        self._database = database
        self._clock = clock
        self._task_id = task_id
        self._token = token
        self._lease_s = options.lease_s
        self._stall_s = options.stall_s
        self._progress = progress
        self._watch = watch
        self._written: dict[str, Any] | None = None
        self._renewed_s = clock.monotonic()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.lost = False

    def __enter__(self) -> Self:
        self._work = carried(self._run)
        self._watch.add(self, min(BEAT_S, self._lease_s / 3))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.remove(self)
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def start(self) -> None:
        """Its first beat is due, and its task still runs."""
        name = f"lease-{self._task_id[:8]}"
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self._thread = None
            self._lose()

    def beat(self) -> None:
        """One look: write what is new, renew when it is time, take note of the answer."""
        if self._progress.silent_s() >= self._stall_s:
            self._lose_if_over()
            return
        picture = self._progress.picture()
        if picture == self._written and not self._is_due():
            return
        asked_s = self._clock.monotonic()
        try:
            answer = self._renew(picture)
        except Unavailable as error:
            LOG.warning("task %s: lease not renewed: %s", self._task_id, error)
            self._lose_if_over()
            return
        self._written = picture
        self._renewed_s = asked_s
        self._heed(answer)

    def _is_due(self) -> bool:
        return self._clock.monotonic() - self._renewed_s >= min(self._lease_s / 3, ASK_S)

    def _renew(self, picture: dict[str, Any] | None) -> str:
        with self._database.write() as uow:
            return uow.tasks.renew(self._task_id, self._token, self._clock.now(), self._lease_s, picture)

    def _heed(self, answer: str) -> None:
        if answer == "lost":
            self._lose()
        elif answer == "cancel":
            self._progress.end_with(Cancelled())
        elif answer == "late":
            self._progress.end_with(DeadlinePassed())

    def _lose_if_over(self) -> None:
        if self._clock.monotonic() - self._renewed_s >= self._lease_s:
            self._lose()

    def _lose(self) -> None:
        self.lost = True
        self._progress.end_with(LeaseLost(task_id=self._task_id))
        self._stop.set()

    def _run(self) -> None:
        """However this thread ends, the task does not go on as if someone kept its lease."""
        kept = False
        try:
            while not self._stop.is_set():
                self.beat()
                self._stop.wait(min(BEAT_S, self._lease_s / 3))
            kept = True
        finally:
            if not kept:
                self._lose()
