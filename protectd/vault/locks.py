"""Locks that restic honors and that honor restic's: shared to add, exclusive to remove."""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

from protectd.common.clock import Clock
from protectd.common.errors import ProtectdError
from protectd.common.trail import carried
from protectd.plugin.base import BankObjectNotFound, BankRefused
from protectd.vault.errors import ListingBehind, LockLost, VaultDamaged, VaultLocked, WriteLost
from protectd.vault.index import decode_part
from protectd.vault.listing import await_listed
from protectd.vault.lock_files import STALE_AFTER, SWEEP, Lock, is_dead, read_locks, remove_dead_locks
from protectd.vault.pack import pack_key
from protectd.vault.presence import put_confirmed
from protectd.vault.repository import INDEX, LOCKS, Repository, WriterIdentity

__all__ = [
    "HeldLock",
    "Lock",
    "exclusive_lock",
    "read_locks",
    "reading_lock",
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
_REMOVE_RETRY_S = 5.0


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
        self._begun: list[str] = []
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

    def take(self, check: Callable[[], None] = lambda: None) -> None:
        """List, write, wait, list again: two that come at once see each other, and both or one gives way.

        :param check: called while it waits for a listing; raises to give up.
        :raises VaultLocked: someone holds a lock that excludes this one.
        :raises LockLost: someone has removed it meanwhile.
        :raises ListingBehind: the bank does not list the lock, and so perhaps not those of others.
        """
        self._refuse_conflict()
        try:
            self.write()
            self.clock.sleep(_SETTLE_S)
            self._await_listed(check)
        except BaseException:
            self._remove_quietly()
            raise

    def _await_listed(self, check: Callable[[], None]) -> None:
        """:raises LockLost: it is not there any more: someone has taken its holder for dead."""
        try:
            await_listed({self.name}, self._refuse_conflict, LOCKS, self.clock, check)
        except ListingBehind:
            self._look(self.name)
            raise

    def _refuse_conflict(self) -> set[str]:
        """Names of the locks that are listed. A dead one is removed in any case: it would keep restic out for
        half an hour."""
        mine, found = self.as_lock(), set()
        for lock in read_locks(self._repository):
            found.add(lock.name)
            if lock.id == self.id:
                continue
            if is_dead(lock, self._identity, self.clock):
                self._repository.bank.delete(f"{LOCKS}/{lock.name}")
            elif mine.conflicts(lock):
                raise _conflict(lock, self.clock)
        return found

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
            self._store()
            # Whoever removed it later than this finds the new one when he looks again.
            for name in former:
                self._look(name)
            self._refreshed = moment
            self._remove(keep=1)

    def _store(self) -> None:
        """One that got no answer may be there all the same, or come to be: it is removed with the others."""
        name, raw = self._repository.seal_unpacked(self.as_lock().encode())
        self._begun.append(name)
        try:
            put_confirmed(self._repository.bank, f"{LOCKS}/{name}", raw)
        except BankRefused:
            self._begun.pop()
            raise
        self._stored.append(self._begun.pop())

    def _remove(self, keep: int) -> None:
        for names, kept in ((self._stored, keep), (self._begun, 0)):
            while len(names) > kept:
                self._repository.bank.delete(f"{LOCKS}/{names[0]}")
                names.pop(0)

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
        """Remove the lock. Where the bank is away that is tried again while this process lives, until the
        lock is stale anyway: no error for work that is done."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._remove_quietly()

    def _remove_quietly(self) -> None:
        try:
            self._remove(keep=0)
        except (ProtectdError, OSError) as error:
            LOG.warning("lock of operation %s could not be removed yet: %s", self.id, error)
            threading.Thread(target=self._remove_later, name="vault-unlock", daemon=True).start()

    def _remove_later(self) -> None:
        """Others would wait for whoever holds it: his process lives, and does other things by now."""
        for _ in range(int(STALE_AFTER.total_seconds() / _REMOVE_RETRY_S)):
            time.sleep(_REMOVE_RETRY_S)
            with suppress(ProtectdError, OSError):
                self._remove(keep=0)
                return
        LOG.warning("lock of operation %s stays: it is stale now", self.id)


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
def reading_lock(
    repository: Repository,
    identity: WriterIdentity,
    clock: Clock,
    wait_s: float = 0.0,
    *,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Callable[[], None]]:
    """As `shared_lock`, for whoever stores nothing. Where the bank takes no lock (it is full, or read-only),
    or does not list it, he reads without one: what is pruned meanwhile he does not find, and says so.

    What it gives raises LockLost when the lock is gone.
    """
    held = HeldLock(repository, identity, clock, False)
    kept: AbstractContextManager[None] = nullcontext()
    try:
        kept = _kept(_acquire(held, wait_s, check))
    except (BankRefused, ListingBehind, WriteLost) as error:
        LOG.warning("reading without a lock: %s", error)
    with kept:
        yield lambda: None if isinstance(kept, nullcontext) else held.confirm()


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
            held.take(check)
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
