"""Locks that restic honors and that honor restic's: shared to add, exclusive to remove."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from protectd.common.clock import Clock
from protectd.common.errors import ProtectdError
from protectd.vault.errors import LockLost, VaultLocked
from protectd.vault.lock_files import STALE_AFTER, Lock, is_dead, read_locks, remove_dead_locks
from protectd.vault.repository import LOCKS, Repository, WriterIdentity

__all__ = ["HeldLock", "Lock", "exclusive_lock", "read_locks", "remove_dead_locks", "shared_lock"]

LOG = logging.getLogger(__name__)

REFRESH_S = 300.0
LOST_AFTER_S = 22.5 * 60
_SETTLE_S = 0.2
_RETRY_S = 1.0
_LONGEST_RETRY_S = 10.0
_CHECK_S = 0.5
_REFRESH_RETRY_S = 20.0


class HeldLock:
    """A lock that a thread keeps fresh. `check()` is for the holder, before each write that relies on it."""

    def __init__(
        self, repository: Repository, identity: WriterIdentity, clock: Clock, exclusive: bool
    ) -> None:
        self._repository = repository
        self._identity = identity
        self._clock = clock
        self._exclusive = exclusive
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._refreshed = clock.monotonic()
        self._stored: list[str] = []

    @property
    def name(self) -> str:
        """Of the newest lock file."""
        return self._stored[-1]

    def check(self) -> None:
        """:raises LockLost: not refreshed for 22.5 minutes: others may take it for dead in a moment."""
        age_s = self._clock.monotonic() - self._refreshed
        if age_s > LOST_AFTER_S:
            raise LockLost(reason=f"it could not be refreshed for {age_s:.0f} s")

    def write(self) -> None:
        """Store a lock file with the present time, and remove the one before it."""
        moment = self._clock.monotonic()
        lock = Lock(
            self._clock.now(),
            self._exclusive,
            self._identity.hostname,
            self._identity.username,
            self._identity.pid,
        )
        self._stored.append(self._repository.save_unpacked(LOCKS, lock.encode()))
        self._refreshed = moment
        self._remove(keep=1)

    def _remove(self, keep: int) -> None:
        while len(self._stored) > keep:
            self._repository.bank.delete(f"{LOCKS}/{self._stored[0]}")
            self._stored.pop(0)

    def keep_fresh(self) -> None:
        self._thread = threading.Thread(target=self._refresh, name="vault-lock", daemon=True)
        self._thread.start()

    def _refresh(self) -> None:
        wait_s = REFRESH_S
        while not self._stop.wait(wait_s):
            try:
                self.write()
                wait_s = REFRESH_S
            except (ProtectdError, OSError):
                wait_s = _REFRESH_RETRY_S  # the holder learns of it from check() when it lasts

    def release(self) -> None:
        """Remove the lock. Where the bank is away it stays and goes stale: no error for work that is done."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self._remove(keep=0)
        except (ProtectdError, OSError) as error:
            LOG.warning("lock %s could not be removed: %s", self.name, error)


@contextmanager
def shared_lock(
    repository: Repository,
    identity: WriterIdentity,
    clock: Clock,
    wait_s: float = 0.0,
    *,
    check: Callable[[], None] = lambda: None,
) -> Iterator[HeldLock]:
    """Hold a lock that others may hold too: for adding to the vault, and for reading that must last.

    :param wait_s: how long to try while an exclusive lock is there.
    :param check: called twice a second while it waits; raises to give up.
    :raises VaultLocked: it still is.
    """
    held = _acquire(repository, identity, clock, wait_s, check, exclusive=False)
    with _kept(held):
        yield held


@contextmanager
def exclusive_lock(
    repository: Repository,
    identity: WriterIdentity,
    clock: Clock,
    wait_s: float = 0.0,
    *,
    check: Callable[[], None] = lambda: None,
) -> Iterator[HeldLock]:
    """Hold the vault alone: for whatever removes something. As `shared_lock`."""
    held = _acquire(repository, identity, clock, wait_s, check, exclusive=True)
    with _kept(held):
        yield held


@contextmanager
def _kept(held: HeldLock) -> Iterator[None]:
    try:
        held.keep_fresh()
        yield
    finally:
        held.release()


def _acquire(
    repository: Repository,
    identity: WriterIdentity,
    clock: Clock,
    wait_s: float,
    check: Callable[[], None],
    *,
    exclusive: bool,
) -> HeldLock:
    deadline = clock.monotonic() + wait_s
    pause_s = _RETRY_S
    while True:
        try:
            return _try(repository, identity, clock, exclusive)
        except VaultLocked:
            left_s = deadline - clock.monotonic()
            if left_s <= 0:
                raise
        # Two that refuse each other at once must not come back at once.
        _sleep(min(pause_s * random.uniform(0.5, 1.0), left_s), clock, check)
        pause_s = min(pause_s * 1.5, _LONGEST_RETRY_S)


def _sleep(seconds: float, clock: Clock, check: Callable[[], None]) -> None:
    while seconds > 0:
        check()
        clock.sleep(min(seconds, _CHECK_S))
        seconds -= _CHECK_S


def _try(repository: Repository, identity: WriterIdentity, clock: Clock, exclusive: bool) -> HeldLock:
    """List, write, wait, list again: two that come at once see each other, and both or one gives way."""
    _refuse_conflict(repository, identity, clock, exclusive, own="")
    held = HeldLock(repository, identity, clock, exclusive)
    held.write()
    try:
        clock.sleep(_SETTLE_S)
        _refuse_conflict(repository, identity, clock, exclusive, own=held.name)
    except BaseException:
        held.release()
        raise
    return held


def _refuse_conflict(
    repository: Repository, identity: WriterIdentity, clock: Clock, exclusive: bool, own: str
) -> None:
    """A dead lock is removed also where it is not in the way: it would keep restic out for half an hour."""
    for lock in read_locks(repository):
        if lock.name == own:
            continue
        if is_dead(lock, identity, clock):
            repository.bank.delete(f"{LOCKS}/{lock.name}")
        elif exclusive or lock.exclusive:
            raise _conflict(lock, clock)


def _conflict(lock: Lock, clock: Clock) -> VaultLocked:
    stale = clock.now() - lock.time > STALE_AFTER
    advice = (
        "it is older than 30 minutes: if nobody works there, remove it with restic unlock"
        if stale
        else "try again later"
    )
    how = "exclusively" if lock.exclusive else "for adding"
    return VaultLocked(
        how=how, holder=lock.holder, since=lock.time.isoformat(timespec="seconds"), advice=advice
    )
