"""Locks that restic honors and that honor restic's: shared to add, exclusive to remove."""

from __future__ import annotations

import logging
import random
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from protectd.common.clock import Clock
from protectd.common.errors import ProtectdError
from protectd.common.trail import carried
from protectd.plugin.base import BankObjectNotFound
from protectd.vault.errors import LockLost, VaultDamaged, VaultLocked
from protectd.vault.index import decode_part
from protectd.vault.lock_files import STALE_AFTER, SWEEP, Lock, is_dead, read_locks, remove_dead_locks
from protectd.vault.pack import pack_key
from protectd.vault.repository import INDEX, LOCKS, Repository, WriterIdentity

__all__ = [
    "HeldLock",
    "Lock",
    "exclusive_lock",
    "read_locks",
    "remove_dead_locks",
    "shared_lock",
    "store_confirmed",
    "sweep_lock",
]

LOG = logging.getLogger(__name__)

REFRESH_S = 300.0
LOST_AFTER_S = 22.5 * 60
_SETTLE_S = 0.2
_RETRY_S = 1.0
_LONGEST_RETRY_S = 10.0
_CHECK_S = 0.5
_REFRESH_RETRY_S = 20.0


class HeldLock:
    """A lock that a thread keeps fresh. `check()` is for the holder, before each write that relies on it;
    what others rely on is stored with `store()`."""

    def __init__(
        self, repository: Repository, identity: WriterIdentity, clock: Clock, exclusive: bool, does: str = ""
    ) -> None:
        self._repository = repository
        self._identity = identity
        self.clock = clock
        self._exclusive = exclusive
        self._does = does
        self.id = uuid.uuid4().hex
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._refreshed = clock.monotonic()
        self._stored: list[str] = []
        self._removed = False

    @property
    def name(self) -> str:
        """Of the newest lock file."""
        return self._stored[-1]

    def check(self) -> None:
        """:raises LockLost: not refreshed for 22.5 minutes: others may take it for dead in a moment."""
        if self._removed:
            raise LockLost(reason="someone has removed it")
        age_s = self.clock.monotonic() - self._refreshed
        if age_s > LOST_AFTER_S:
            raise LockLost(reason=f"it could not be refreshed for {age_s:.0f} s")

    def confirm(self) -> None:
        """Look whether the lock still stands in the bank: clocks do not tell how long a machine was halted.

        :raises LockLost: someone has taken its holder for dead, and may have removed what it relied on.
        """
        self.check()
        with self._writing:
            self._look(self.name)

    def _look(self, name: str) -> None:
        try:
            self._repository.bank.size(f"{LOCKS}/{name}")
        except BankObjectNotFound:
            self._removed = True
            raise LockLost(reason="someone has removed it") from None

    def store(self, kind: str, json: bytes) -> str:
        """Store an index file, or a snapshot whose blobs are indexed by now, while the lock holds; its name.

        :raises LockLost: as `store_confirmed`.
        """
        return store_confirmed(self._repository, kind, json, self.confirm)

    def take(self) -> None:
        """List, write, wait, list again: two that come at once see each other, and both or one gives way.

        :raises VaultLocked: someone holds a lock that excludes this one.
        """
        self._refuse_conflict()
        self.write()
        try:
            self.clock.sleep(_SETTLE_S)
            self._refuse_conflict()
        except BaseException:
            self._remove_quietly()
            raise

    def _refuse_conflict(self) -> None:
        """A dead lock is removed in any case: it would keep restic out for half an hour."""
        mine = self.as_lock()
        for lock in read_locks(self._repository):
            if lock.id == self.id:
                continue
            if is_dead(lock, self._identity, self.clock):
                self._repository.bank.delete(f"{LOCKS}/{lock.name}")
            elif mine.conflicts(lock):
                raise _conflict(lock, self.clock)

    def as_lock(self) -> Lock:
        """What its next file says."""
        identity = self._identity
        return Lock(
            self.clock.now(),
            self._exclusive,
            identity.hostname,
            identity.username,
            identity.pid,
            id=self.id,
            does=self._does,
        )

    def write(self) -> None:
        """Store a lock file with the present time, and remove the one before it.

        :raises LockLost: someone has removed that one. A new one would not undo what he did since.
        """
        with self._writing:
            if self._removed:
                raise LockLost(reason="someone has removed it")
            moment = self.clock.monotonic()
            former = self._stored[-1:]
            self._stored.append(self._repository.save_unpacked(LOCKS, self.as_lock().encode()))
            # Whoever removed it later than this finds the new one when he looks again.
            for name in former:
                self._look(name)
            self._refreshed = moment
            self._remove(keep=1)

    def _remove(self, keep: int) -> None:
        while len(self._stored) > keep:
            self._repository.bank.delete(f"{LOCKS}/{self._stored[0]}")
            self._stored.pop(0)

    def keep_fresh(self) -> None:
        self._thread = threading.Thread(target=carried(self._refresh), name="vault-lock", daemon=True)
        self._thread.start()

    def _refresh(self) -> None:
        wait_s = REFRESH_S
        while not self._stop.wait(wait_s):
            try:
                self.write()
                wait_s = REFRESH_S
            except LockLost:
                return
            except (ProtectdError, OSError):
                wait_s = _REFRESH_RETRY_S  # the holder learns of it from check() when it lasts

    def release(self) -> None:
        """Remove the lock. Where the bank is away it stays and goes stale: no error for work that is done."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._remove_quietly()

    def _remove_quietly(self) -> None:
        try:
            self._remove(keep=0)
        except (ProtectdError, OSError) as error:
            LOG.warning("lock %s could not be removed: %s", self.name, error)


def store_confirmed(
    repository: Repository, kind: str, json: bytes, confirm: Callable[[], None] = lambda: None
) -> str:
    """Store what others are going to rely on; its name.

    :param confirm: looks whether the lock holds, before and after.
    :raises LockLost: it does not, or did not when this was stored; then it is gone again, save for an index
        file that tells the truth: others may rely on it by now.
    """
    confirm()
    name = repository.save_unpacked(kind, json)
    try:
        confirm()
    except LockLost:
        if kind != INDEX or not _has_packs_of(repository, json):
            repository.bank.delete(f"{kind}/{name}")
        raise
    return name


def _has_packs_of(repository: Repository, index_json: bytes) -> bool:
    try:
        for pack_id in decode_part(index_json).pack_ids:
            repository.bank.size(pack_key(pack_id))
    except BankObjectNotFound:
        return False
    return True


@contextmanager
def shared_lock(
    repository: Repository,
    identity: WriterIdentity,
    clock: Clock,
    wait_s: float = 0.0,
    *,
    check: Callable[[], None] = lambda: None,
    does: str = "",
) -> Iterator[HeldLock]:
    """Hold a lock that others may hold too: for adding to the vault, and for reading that must last.

    :param wait_s: how long to try while an exclusive lock is there.
    :param does: PRUNE for the one that may mark packs.
    :param check: called twice a second while it waits; raises to give up.
    :raises VaultLocked: it still is.
    """
    held = _acquire(HeldLock(repository, identity, clock, False, does), wait_s, check)
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
    held = _acquire(HeldLock(repository, identity, clock, True), wait_s, check)
    with _kept(held):
        yield held


@contextmanager
def sweep_lock(
    repository: Repository,
    identity: WriterIdentity,
    clock: Clock,
    wait_s: float = 0.0,
    *,
    check: Callable[[], None] = lambda: None,
) -> Iterator[HeldLock]:
    """Keep all other programs out for a moment, while operations of protectd go on. As `shared_lock`."""
    held = _acquire(HeldLock(repository, identity, clock, True, SWEEP), wait_s, check)
    with _kept(held):
        yield held


@contextmanager
def _kept(held: HeldLock) -> Iterator[None]:
    """:raises LockLost: what is missing or damaged may be what others have removed since."""
    try:
        held.keep_fresh()
        yield
    except (VaultDamaged, BankObjectNotFound):
        held.confirm()
        raise
    finally:
        held.release()


def _acquire(held: HeldLock, wait_s: float, check: Callable[[], None]) -> HeldLock:
    clock = held.clock
    deadline = clock.monotonic() + wait_s
    pause_s = _RETRY_S
    while True:
        try:
            held.take()
        except VaultLocked:
            left_s = deadline - clock.monotonic()
            if left_s <= 0:
                raise
        else:
            return held
        # Two that refuse each other at once must not come back at once.
        _sleep(min(pause_s * random.uniform(0.5, 1.0), left_s), clock, check)
        pause_s = min(pause_s * 1.5, _LONGEST_RETRY_S)


def _sleep(seconds: float, clock: Clock, check: Callable[[], None]) -> None:
    while seconds > 0:
        check()
        clock.sleep(min(seconds, _CHECK_S))
        seconds -= _CHECK_S


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
