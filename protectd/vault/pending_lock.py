"""A shared lock that is taken while its taker already reads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Self

from protectd.common.clock import SystemClock
from protectd.common.errors import Cancelled, ProtectdError
from protectd.common.trail import follow, names
from protectd.vault.locks import HeldLock, shared_lock
from protectd.vault.repository import Repository, WriterIdentity

_CHECK_S = 0.2


class _StoppableClock(SystemClock):
    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Cancelled


class PendingLock:
    """To take a lock is to wait for others who may be taking one. Nothing may be written before `wait`
    returns, and what was read before has to be looked at again: a prune may have ended meanwhile."""

    def __init__(self, repository: Repository, identity: WriterIdentity, wait_s: float) -> None:
        self._stop = threading.Event()
        self._context = shared_lock(repository, identity, _StoppableClock(self._stop), wait_s)
        self._thread = ThreadPoolExecutor(1, "vault-lock", initializer=follow, initargs=(names(),))
        self._taken: Future[HeldLock] = self._thread.submit(self._context.__enter__)

    def __enter__(self) -> Self:
        return self

    def wait(self, check: Callable[[], None]) -> HeldLock:
        """The lock.

        :param check: called now and then; may raise.
        :raises VaultLocked: others hold the vault.
        """
        while True:
            with suppress(TimeoutError):
                return self._taken.result(_CHECK_S)
            check()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.shutdown()
        with suppress(ProtectdError):  # never taken; whoever waited has heard it
            self._taken.result()
            self._context.__exit__(None, None, None)
