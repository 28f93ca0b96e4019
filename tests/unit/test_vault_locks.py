from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from protectd.common.clock import SystemClock
from protectd.common.errors import Cancelled, Unavailable
from protectd.plugin.base import BankUnavailable
from protectd.vault.coordinator import LockCoordinator
from protectd.vault.errors import LockLost, VaultDamaged, VaultLocked
from protectd.vault.lock_files import is_dead
from protectd.vault.locks import (
    HeldLock,
    Lock,
    exclusive_lock,
    read_locks,
    reading_lock,
    remove_dead_locks,
    shared_lock,
)
from protectd.vault.repository import LOCKS, Repository
from tests.fakes.clock import ManualClock
from tests.fakes.faults import FaultyBank
from tests.fakes.vault_kit import ME, new_vault

OTHER = replace(ME, hostname="protectd-other")


class WatchedClock(ManualClock):
    """Calls back when someone sleeps."""

    def __init__(self) -> None:
        super().__init__(datetime.now(UTC))
        self.slept: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.slept()


@pytest.fixture
def clock() -> WatchedClock:
    return WatchedClock()


@pytest.fixture
def vault() -> Repository:
    return new_vault(FaultyBank())


def _store(vault: Repository, lock: Lock) -> str:
    return vault.save_unpacked(LOCKS, lock.encode())


def _dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_a_lock_says_who_holds_it_and_goes_with_its_block(vault: Repository, clock: WatchedClock) -> None:
    with exclusive_lock(vault, ME, clock) as held:
        (lock,) = read_locks(vault)
        assert (lock.name, lock.exclusive, lock.hostname) == (held.name, True, ME.hostname)
        assert (lock.username, lock.pid) == (ME.username, os.getpid())
    assert vault.names(LOCKS) == []


def test_a_lock_goes_too_when_its_block_raises(vault: Repository, clock: WatchedClock) -> None:
    with pytest.raises(RuntimeError), shared_lock(vault, ME, clock):
        raise RuntimeError
    assert vault.names(LOCKS) == []


def test_many_share_and_none_shares_with_an_exclusive_one(vault: Repository, clock: WatchedClock) -> None:
    with shared_lock(vault, ME, clock), shared_lock(vault, OTHER, clock):
        assert len(vault.names(LOCKS)) == 2
        with pytest.raises(VaultLocked), exclusive_lock(vault, ME, clock):
            pass
    with exclusive_lock(vault, ME, clock):
        for take in (shared_lock, exclusive_lock):
            with pytest.raises(VaultLocked) as caught, take(vault, OTHER, clock):
                pass
            assert isinstance(caught.value, Unavailable)
            assert caught.value.facts["how"] == "exclusively"
            assert ME.hostname in caught.value.facts["holder"]
        assert len(vault.names(LOCKS)) == 1


def test_waiting_takes_the_lock_as_soon_as_it_is_free(vault: Repository, clock: WatchedClock) -> None:
    rival = exclusive_lock(vault, OTHER, clock)
    rival.__enter__()
    naps = []

    def release() -> None:
        naps.append(1)
        if len(naps) == 3:
            rival.__exit__(None, None, None)

    clock.slept = release
    with shared_lock(vault, ME, clock, wait_s=600):
        assert len(naps) >= 3


def test_waiting_ends_when_its_time_is_over(vault: Repository, clock: WatchedClock) -> None:
    with exclusive_lock(vault, OTHER, clock):
        start = clock.monotonic()
        with pytest.raises(VaultLocked), exclusive_lock(vault, ME, clock, wait_s=60):
            pass
        assert 60 <= clock.monotonic() - start < 90


def test_waiting_ends_when_its_owner_gives_up(vault: Repository, clock: WatchedClock) -> None:
    def give_up() -> None:
        raise Cancelled

    with exclusive_lock(vault, OTHER, clock):
        with pytest.raises(Cancelled), shared_lock(vault, ME, clock, wait_s=600, check=give_up):
            pass
        assert len(vault.names(LOCKS)) == 1


def test_of_two_that_come_at_once_the_second_look_tells(vault: Repository, clock: WatchedClock) -> None:
    def rival() -> None:
        _store(vault, Lock(clock.now(), False, "elsewhere", "u", 1))
        clock.slept = lambda: None

    clock.slept = rival
    with pytest.raises(VaultLocked), exclusive_lock(vault, ME, clock):
        pass
    assert [lock.hostname for lock in read_locks(vault)] == ["elsewhere"]


def test_a_lock_of_this_node_whose_process_is_gone_is_removed(vault: Repository, clock: WatchedClock) -> None:
    _store(vault, Lock(clock.now(), True, ME.hostname, "u", _dead_pid()))
    with exclusive_lock(vault, ME, clock):
        assert len(vault.names(LOCKS)) == 1


def test_a_lock_that_is_older_than_the_process_of_its_number_is_removed(
    vault: Repository, clock: WatchedClock
) -> None:
    """In a container the service has the same number at each start."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as young:
        _store(vault, Lock(clock.now() - timedelta(minutes=25), True, ME.hostname, "u", young.pid))
        with exclusive_lock(vault, ME, clock):
            pass


@pytest.mark.parametrize("hold", [shared_lock, reading_lock])
def test_a_lock_that_is_removed_while_it_settles_is_lost_and_not_merely_unlisted(
    vault: Repository, clock: WatchedClock, hold: Callable[..., AbstractContextManager[object]]
) -> None:
    """Its holder was taken for dead: whoever only reads must not go on without a lock."""

    def remove() -> None:
        for name in vault.names(LOCKS):
            vault.bank.delete(f"{LOCKS}/{name}")

    clock.slept = remove
    with pytest.raises(LockLost), hold(vault, ME, clock):
        pass


def test_a_lock_of_this_node_that_is_not_refreshed_is_removed(vault: Repository, clock: WatchedClock) -> None:
    _store(vault, Lock(clock.now() - timedelta(minutes=31), True, ME.hostname, "u", 1))
    assert remove_dead_locks(vault, ME, clock) == 1
    assert vault.names(LOCKS) == []


@pytest.mark.parametrize("age", [timedelta(0), timedelta(days=2)])
def test_a_lock_of_another_host_stays_whatever_its_age(
    vault: Repository, clock: WatchedClock, age: timedelta
) -> None:
    name = _store(vault, Lock(clock.now() - age, True, "elsewhere", "u", _dead_pid()))
    with pytest.raises(VaultLocked) as caught, shared_lock(vault, ME, clock):
        pass
    assert ("restic unlock" in caught.value.facts["advice"]) == bool(age)
    assert remove_dead_locks(vault, ME, clock) == 0
    assert vault.names(LOCKS) == [name]


def test_refreshing_stores_a_new_file_before_the_old_one_goes(vault: Repository, clock: WatchedClock) -> None:
    held = HeldLock(vault, ME, clock, exclusive=True)
    held.write()
    first = held.name
    clock.advance(300)
    held.write()
    assert vault.names(LOCKS) == [held.name] != [first]
    assert (clock.now() - read_locks(vault)[0].time).total_seconds() == 0
    held.release()
    assert vault.names(LOCKS) == []


def test_a_lock_that_is_refreshed_while_it_is_looked_for_is_seen_all_the_same(
    vault: Repository, clock: WatchedClock
) -> None:
    """A prune that missed it would delete what its holder needs."""
    with shared_lock(vault, ME, clock) as held:

        def refresh(call: str, key: str) -> None:
            if call == "get" and key == f"{LOCKS}/{held.name}":
                vault.bank.fault = lambda call, key: None
                held.write()

        vault.bank.fault = refresh
        coordinator = LockCoordinator(vault, ME, clock, own="mine")
        assert coordinator.others() == {held.id}
        assert vault.bank.fault is not refresh


def test_a_lock_that_cannot_be_refreshed_is_lost_before_others_may_take_it(
    vault: Repository, clock: WatchedClock
) -> None:
    held = HeldLock(vault, ME, clock, exclusive=True)
    held.write()
    clock.advance(22 * 60)
    held.check()
    clock.advance(60)
    with pytest.raises(LockLost):
        held.check()
    held.write()
    held.check()


def test_a_refresh_that_could_not_remove_the_old_file_does_it_later(
    vault: Repository, clock: WatchedClock
) -> None:
    bank = vault.bank
    assert isinstance(bank, FaultyBank)
    held = HeldLock(vault, ME, clock, exclusive=False)
    held.write()
    bank.fault = _no_deletes
    with pytest.raises(BankUnavailable):
        held.write()
    assert len(vault.names(LOCKS)) == 2
    bank.fault = lambda call, key: None
    held.release()
    assert vault.names(LOCKS) == []


def _no_deletes(call: str, key: str) -> None:
    if call == "delete":
        raise BankUnavailable(reason="unplugged")


def test_a_bank_that_is_away_at_the_end_does_not_spoil_the_work(
    vault: Repository, clock: WatchedClock
) -> None:
    bank = vault.bank
    assert isinstance(bank, FaultyBank)
    with shared_lock(vault, ME, clock):
        bank.fault = _no_deletes
    bank.fault = lambda call, key: None
    assert len(vault.names(LOCKS)) == 1


def test_empty_lock_files_and_other_names_are_no_locks(vault: Repository, clock: WatchedClock) -> None:
    vault.bank.put(f"{LOCKS}/{'0' * 64}", b"")
    vault.bank.put(f"{LOCKS}/notahash", b"x")
    with exclusive_lock(vault, ME, clock):
        pass


def test_a_lock_that_does_not_open_stops_everyone_by_name(vault: Repository, clock: WatchedClock) -> None:
    name = vault.save_unpacked(LOCKS, b'{"time":1}')
    with pytest.raises(VaultDamaged, match=name), shared_lock(vault, ME, clock):
        pass


def test_takes_a_process_that_has_ended_and_was_not_waited_for_for_dead():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    while Path(f"/proc/{ended.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    lock = Lock(SystemClock().now(), True, ME.hostname, ME.username, ended.pid)
    assert is_dead(lock, ME, SystemClock())
    ended.wait()
