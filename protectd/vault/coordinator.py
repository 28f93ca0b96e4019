"""Who else works in a vault? Answered by the locks in the bank: whoever reaches the vault sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from protectd.common.clock import Clock
from protectd.vault.identity import WriterIdentity
from protectd.vault.lock_files import STALE_AFTER, Lock, is_dead, read_locks
from protectd.vault.locks import sweep_lock
from protectd.vault.repository import LOCKS, Repository


class Coordinator(Protocol):
    """Knows all who work in one vault, save the one who asks."""

    def others(self) -> frozenset[str]:
        """Ids of the operations of protectd that run now. One that was among them and is not any more has
        ended, or will store nothing more that anyone relies on. One that is not among them yet looks into
        the index later than this."""

    def strangers_out(self) -> AbstractContextManager[Callable[[], None]]:
        """Keep all other programs out for a moment; what it gives raises LockLost when they are not any more.

        :raises VaultLocked: one of them does not end in time.
        """


class NobodyElse:
    """For whoever has the vault alone."""

    def others(self) -> frozenset[str]:
        return frozenset()

    @contextmanager
    def strangers_out(self) -> Iterator[Callable[[], None]]:
        yield lambda: None


class LockCoordinator:
    """Operations by the locks that they hold from before their first look into the index to their end.

    Ids are compared, never clocks, except to see that a lock of another node has not been refreshed for half
    an hour.

    :param own: id of the lock of whoever asks.
    :param wait_s: how long to wait for other programs. :param check: called meanwhile; raises to give up.
    """

    def __init__(
        self,
        repository: Repository,
        identity: WriterIdentity,
        clock: Clock,
        own: str,
        wait_s: float = 0.0,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._repository = repository
        self._identity = identity
        self._clock = clock
        self._own = own
        self._wait_s = wait_s
        self._check = check

    def others(self) -> frozenset[str]:
        """Locks that nobody keeps are removed: their holders, should they wake up, find them gone before they
        store anything that is relied on. Those of other programs do not count: they are kept out."""
        while True:
            locks = [lock for lock in self._read_locks() if lock.id and lock.id != self._own]
            abandoned = [lock for lock in locks if self._is_abandoned(lock)]
            if not abandoned:
                return frozenset(lock.id for lock in locks)
            for lock in abandoned:
                self._repository.bank.delete(f"{LOCKS}/{lock.name}")
            # Once more: its holder may have stored another one before this one went.

    def _read_locks(self) -> list[Lock]:
        """Twice: one that is refreshed meanwhile may be missed once, when its old file has gone before it is
        read. The new one was stored before that, so the second look finds it."""
        return [*read_locks(self._repository), *read_locks(self._repository)]

    def _is_abandoned(self, lock: Lock) -> bool:
        stale = self._clock.now() - lock.time > STALE_AFTER
        return stale or is_dead(lock, self._identity, self._clock)

    @contextmanager
    def strangers_out(self) -> Iterator[Callable[[], None]]:
        with sweep_lock(
            self._repository, self._identity, self._clock, self._wait_s, check=self._check
        ) as lock:
            yield lock.confirm
