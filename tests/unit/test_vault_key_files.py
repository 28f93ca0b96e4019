"""Key files of a vault: listed, added, removed, and never the last that is known to open."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protectd.plugin.banks.memory import MemoryBank
from protectd.plugin.base import BankPlugin
from protectd.vault.crypto import MasterKey
from protectd.vault.errors import (
    AmbiguousName,
    EmptyPassword,
    KeyNeeded,
    KeyNotFound,
    VaultLocked,
    WrongPassword,
)
from protectd.vault.key_files import add_key, choose_key, keys_of, list_keys, remove_key, remove_keys_of
from protectd.vault.keyring import KEYS, key_names
from protectd.vault.keys import create_key_file
from protectd.vault.locks import exclusive_lock, shared_lock
from protectd.vault.repository import Repository
from tests.fakes.clock import ManualClock
from tests.fakes.faults import FaultyBank
from tests.fakes.vault_kit import CHEAP, ME, PASSWORD, new_vault

ELSEWHERE = replace(ME, hostname="another-host")


@pytest.fixture
def bank() -> MemoryBank:
    return MemoryBank()


@pytest.fixture
def vault(bank: MemoryBank) -> Repository:
    return new_vault(bank)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def add(vault: Repository, clock: ManualClock, password: str = "another") -> str:
    return add_key(vault, password, ME, clock, cost=CHEAP)


def opens(bank: BankPlugin, password: str) -> bool:
    try:
        Repository.open(bank, password)
    except WrongPassword:
        return False
    return True


def test_a_further_password_opens_the_same_vault(
    vault: Repository, bank: MemoryBank, clock: ManualClock
) -> None:
    add(vault, clock, "pässword two")
    assert Repository.open(bank, "pässword two").key == Repository.open(bank, PASSWORD).key == vault.key
    assert not list(bank.list("locks"))


def test_an_empty_password_is_refused(vault: Repository, clock: ManualClock, bank: MemoryBank) -> None:
    with pytest.raises(EmptyPassword):
        add(vault, clock, "")
    assert len(key_names(bank)) == 1


def test_a_list_tells_who_made_each_and_which_is_in_use(
    vault: Repository, bank: MemoryBank, clock: ManualClock
) -> None:
    clock.advance(86400 * 365 * 50)
    added = add(vault, clock)
    first, second = list_keys(bank, PASSWORD)
    assert (first.current, second.current, second.id) == (True, False, added)
    assert (second.username, second.hostname, second.created) == ("tester", "protectd-test", clock.now())
    assert [each.current for each in list_keys(bank)] == [False, False]


def test_a_damaged_key_file_is_listed_as_such(
    vault: Repository, bank: MemoryBank, clock: ManualClock
) -> None:
    added = add(vault, clock)
    bank.put(f"{KEYS}/{added}", b"torn")
    (bad,) = [each for each in list_keys(bank, PASSWORD) if each.damage]
    assert bad.id == added and "do not fit its name" in bad.damage
    assert remove_key(vault, added, PASSWORD, ME, clock) == added


def test_a_password_whose_key_file_is_removed_opens_no_more(
    vault: Repository, bank: MemoryBank, clock: ManualClock
) -> None:
    added = add(vault, clock)
    assert remove_key(vault, added[:8], PASSWORD, ME, clock) == added
    assert not opens(bank, "another") and opens(bank, PASSWORD)
    assert not list(bank.list("locks"))


def test_the_key_in_use_stays(vault: Repository, bank: MemoryBank, clock: ManualClock) -> None:
    add(vault, clock)
    (mine,) = keys_of(bank, PASSWORD)
    with pytest.raises(KeyNeeded, match=mine):
        remove_key(vault, mine, PASSWORD, ME, clock)
    assert opens(bank, PASSWORD)


def test_the_last_key_that_opens_stays(vault: Repository, bank: MemoryBank, clock: ManualClock) -> None:
    other, raw = create_key_file(MasterKey.generate(), "foreign", created=clock.now(), cost=CHEAP)
    bank.put(f"{KEYS}/{other}", raw)
    (mine,) = keys_of(bank, PASSWORD)
    with pytest.raises(KeyNeeded, match="no other one"):
        remove_key(vault, mine, "a password that opens nothing", ME, clock)
    assert opens(bank, PASSWORD)


@pytest.mark.parametrize("text", ["", "abc", "../config", "0" * 64])
def test_a_key_that_is_not_there_is_named(vault: Repository, clock: ManualClock, text: str) -> None:
    with pytest.raises(KeyNotFound) as caught:
        remove_key(vault, text, PASSWORD, ME, clock)
    assert caught.value.facts == {"key_id": text}


def test_a_start_that_several_share_is_refused() -> None:
    with pytest.raises(AmbiguousName):
        choose_key(["abcd" + "0" * 60, "abcd" + "1" * 60], "abcd")


def test_keys_are_added_beside_others_and_removed_alone(
    vault: Repository, bank: MemoryBank, clock: ManualClock
) -> None:
    with shared_lock(vault, ELSEWHERE, clock):
        added = add(vault, clock)
        with pytest.raises(VaultLocked):
            remove_key(vault, added, PASSWORD, ME, clock)
    with exclusive_lock(vault, ELSEWHERE, clock), pytest.raises(VaultLocked):
        add(vault, clock)
    assert opens(bank, "another")


def test_all_key_files_of_one_password_go_together(
    vault: Repository, bank: MemoryBank, clock: ManualClock
) -> None:
    add(vault, clock, "twice")
    add(vault, clock, "twice")
    names = keys_of(bank, "twice")
    assert len(names) == 2
    assert remove_keys_of(vault, "twice", ME, clock) == names
    assert remove_keys_of(vault, "twice", ME, clock) == []
    assert keys_of(bank, "twice") == [] and opens(bank, PASSWORD)


def test_one_that_comes_before_the_vault_is_locked_goes_with_the_others(clock: ManualClock) -> None:
    bank = FaultyBank()
    vault = new_vault(bank)
    add(vault, clock, "twice")
    rest = [lambda: add(vault, clock, "twice")]

    def meanwhile(call: str, key: str) -> None:
        if call == "put" and rest:
            rest.pop()()

    bank.fault = meanwhile
    assert len(remove_keys_of(vault, "twice", ME, clock)) == 2
    assert keys_of(bank, "twice") == []
