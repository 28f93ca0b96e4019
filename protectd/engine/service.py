"""The loop of the engine."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from protectd.common.errors import Unavailable

LOG = logging.getLogger(__name__)

Chore = Callable[[], object]


class EngineService:
    """Does its chores every `poll_interval_s` seconds in a thread of its own, the first time at once.

    A chore that fails is done again in the next round; the others are done nevertheless.
    """

    def __init__(self, chores: Sequence[Chore], poll_interval_s: float = 5.0) -> None:
        self._chores = list(chores)
        self._poll_interval_s = poll_interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, grace_s: float) -> bool:
        """Ask the loop to end. :returns: whether it has, within `grace_s`."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(grace_s)
        return not self._thread.is_alive()

    def wait(self) -> None:
        """Return when `stop` has been called."""
        self._stop.wait()

    def _run(self) -> None:
        with ThreadPoolExecutor(1, thread_name_prefix="engine-chore") as pool:
            while not self._stop.is_set():
                for chore in self._chores:
                    _log(pool.submit(chore).exception())
                self._stop.wait(self._poll_interval_s)


class PacedService:
    """Does one chore again and again in a thread of its own; the chore says after how many seconds. One that
    fails is done again after `rest_s`."""

    def __init__(self, chore: Callable[[], float], rest_s: float, name: str) -> None:
        self._chore = chore
        self._rest_s = rest_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, grace_s: float) -> bool:
        """Ask the loop to end. :returns: whether it has, within `grace_s`."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(grace_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        with ThreadPoolExecutor(1, thread_name_prefix=f"{self._thread.name}-chore") as pool:
            while not self._stop.is_set():
                done = pool.submit(self._chore)
                _log(error := done.exception())
                self._stop.wait(self._rest_s if error is not None else done.result())


def _log(error: BaseException | None) -> None:
    """One bad row must not end the service for all others, whatever it is."""
    if isinstance(error, Unavailable):
        LOG.warning("the engine tries again: %s", error)
    elif error is not None:
        LOG.error("a chore of the engine broke off", exc_info=error)
