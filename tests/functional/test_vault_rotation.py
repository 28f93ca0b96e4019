"""Another password for a vault: whenever it is cut off, what the database says opens the vault."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from protectd.common.clock import SystemClock
from protectd.common.ids import new_id
from protectd.domain import vault_rotation
from protectd.domain.secrets import Secrets
from protectd.domain.vault_passwords import CONSUMER, VaultPasswords
from protectd.domain.vault_rotation import Rotation, RotationUnfinished
from protectd.domain.vaults import Vaults
from protectd.model.models import Vault
from protectd.model.repositories.vaults import VaultRowNotFound
from protectd.model.unit_of_work import Database, UnitOfWork
from protectd.plugin.secret_stores.crypto import CryptoStore
from protectd.vault.engine import EngineOptions, VaultEngine
from protectd.vault.errors import VaultLocked, WrongPassword
from protectd.vault.keyring import key_names
from protectd.vault.locks import exclusive_lock, shared_lock
from protectd.vault.repository import Repository
from tests.fakes.faults import FaultyBank, Killed
from tests.fakes.rows import PROJECT
from tests.fakes.vault_kit import CHEAP, ME

pytest_plugins = ["tests.fakes.databases"]

SERVICE = "service-project"
MASTER_KEY = os.urandom(32)


class QuickClock(SystemClock):
    """Never waits: nobody else is there who could be seen by waiting."""

    def sleep(self, seconds: float) -> None:
        pass


class Place:
    """A provider with one vault, in a bank whose calls can fail."""

    def __init__(self) -> None:
        self.id = new_id()
        self.bank = FaultyBank()

    def vault_bank(self, project_id: str) -> FaultyBank:
        return self.bank


class DyingDatabase(Database):
    """Says each time when a transaction is about to be committed, and when it is."""

    step: Callable[[str], None]

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        with super().write() as uow:
            yield uow
            self.step("before a commit")
        self.step("after a commit")


class Rig:
    """One vault that is ready, and services on it that start with nothing in memory."""

    def __init__(self, url: str) -> None:
        self.clock = QuickClock()
        self.database = DyingDatabase(url)
        self.database.step = lambda moment: None
        self.engine = VaultEngine(EngineOptions(in_process=True, lock_wait_s=0))
        self.place = Place()
        with self.service().session(self.place, PROJECT) as session:
            assert session.snapshots() == []

    def service(self) -> Vaults:
        secrets = Secrets({"crypto": CryptoStore(MASTER_KEY)}, "crypto")
        identity = self.engine.options.identity()
        return Vaults(self.database, secrets, self.engine, self.clock, SERVICE, identity)

    def rotate(self) -> list[str]:
        return self.service().rotate(self.place, PROJECT)

    def password(self) -> str:
        """What the database says; the vault opens with it, or this raises."""
        password = self.service().password(self.place, PROJECT)
        assert Repository.open(self.place.bank, password).config.id == self.row().repository_id
        return password

    def row(self) -> Vault:
        with self.database.read() as uow:
            found = uow.vaults.of(self.place.id, PROJECT)
        assert found is not None
        return found

    def secret_types(self) -> list[str]:
        with self.database.read() as uow:
            return [each.secret_type for each in uow.secrets.consumed_by(*CONSUMER, self.row().id)]

    def assert_ended(self) -> None:
        """One password, one key file, and nothing that is left of others."""
        self.password()
        assert self.secret_types() == ["vault-password"]
        assert len(key_names(self.place.bank)) == 1
        assert not list(self.place.bank.list("locks"))

    def repository(self) -> Repository:
        return Repository.open(self.place.bank, self.password())


@pytest.fixture
def rig(any_database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """Its passwords are proven hundreds of times, so that costs little."""
    monkeypatch.setattr(vault_rotation, "RANDOM_PASSWORD_COST", CHEAP)
    made = Rig(any_database.engine.url.render_as_string(hide_password=False))
    yield made
    made.database.dispose()


def test_the_new_password_opens_the_vault_and_the_former_one_does_not(rig: Rig) -> None:
    before, key = rig.password(), rig.repository().key
    (gone,) = rig.rotate()
    assert gone not in key_names(rig.place.bank)
    assert rig.password() != before and rig.repository().key == key
    with pytest.raises(WrongPassword):
        Repository.open(rig.place.bank, before)
    rig.assert_ended()


def test_open_sessions_and_other_keys_go_on(rig: Rig) -> None:
    running = rig.service()
    with running.session(rig.place, PROJECT) as session:
        added = session.keys.add("a person's")
        rig.rotate()
        assert session.snapshots() == []
    with running.session(rig.place, PROJECT) as session:
        assert session.snapshots() == []
    assert added in key_names(rig.place.bank)
    assert Repository.open(rig.place.bank, "a person's").key == rig.repository().key


def test_nothing_is_rotated_where_nothing_was_protected(rig: Rig) -> None:
    with pytest.raises(VaultRowNotFound):
        rig.service().rotate(rig.place, "another-project")
    with rig.database.read() as uow:
        assert uow.vaults.of(rig.place.id, "another-project") is None


def test_killed_at_any_instant_the_database_opens_the_vault_and_the_next_run_ends_it(rig: Rig) -> None:
    for instant in range(100):
        before = rig.password()
        died = _rotate_until(rig, instant)
        rig.password()
        rig.rotate()
        rig.assert_ended()
        assert rig.password() != before
        if not died:
            assert instant >= 10, "each put, delete and commit was tried"
            return
    raise AssertionError("it never ends")


def _rotate_until(rig: Rig, instant: int) -> bool:
    """Whether it died."""
    left = [instant]

    def step(*_: object) -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1

    rig.place.bank.fault = lambda call, key: step() if call in ("put", "delete") else None
    rig.database.step = step
    try:
        rig.rotate()
    except Killed:
        return True
    finally:
        rig.place.bank.fault = lambda call, key: None
        rig.database.step = lambda moment: None
        for item in list(rig.place.bank.list("locks")):  # of a process that is not there any more
            rig.place.bank.delete(item.key)
    return False


def test_while_the_vault_is_locked_nothing_changes(rig: Rig) -> None:
    before = rig.password()
    with exclusive_lock(rig.repository(), ME, SystemClock()), pytest.raises(VaultLocked):
        rig.rotate()
    assert rig.password() == before
    rig.rotate()
    rig.assert_ended()


def test_while_others_use_the_vault_the_new_password_is_in_force_and_the_former_still_opens(
    rig: Rig,
) -> None:
    before = rig.password()
    with shared_lock(rig.repository(), ME, SystemClock()), pytest.raises(RotationUnfinished):
        rig.rotate()
    after = rig.password()
    assert after != before and Repository.open(rig.place.bank, before).key == rig.repository().key
    assert len(rig.rotate()) == 1
    assert rig.password() == after
    rig.assert_ended()


def test_several_at_once_end_with_one_new_password(rig: Rig) -> None:
    before = rig.password()

    def rotate(_: int) -> None:
        with suppress(VaultLocked, RotationUnfinished):
            rig.rotate()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(rotate, range(8)))
    assert rig.password() != before
    for _ in range(3):
        rig.rotate()
    rig.assert_ended()


def test_one_that_others_overtake_fails_nobody_and_leaves_no_key_file_behind(rig: Rig) -> None:
    """It has the password that comes next, and two whole changes come before it does anything with it."""

    def overtaken(moment: str) -> None:
        rig.database.step = lambda moment: None
        rig.rotate()
        rig.rotate()

    rig.database.step = lambda moment: overtaken(moment) if moment == "after a commit" else None
    rig.rotate()
    rig.assert_ended()


def test_whoever_has_read_the_former_password_opens_with_the_present_one(rig: Rig) -> None:
    service, stale = rig.service(), rig.row()
    rig.rotate()
    key = service._open(stale, rig.place.bank)
    assert key == rig.repository().key


def test_the_passwords_of_a_change_cannot_be_deleted_by_others(rig: Rig) -> None:
    secrets = Secrets({"crypto": CryptoStore(MASTER_KEY)}, "crypto")
    passwords = VaultPasswords(rig.database, secrets, SERVICE)
    first, again = passwords.prepare_next(rig.row()), passwords.prepare_next(rig.row())
    assert first == again
    assert sorted(rig.secret_types()) == ["vault-password", "vault-password-next"]
    Rotation(passwords, rig.row(), rig.repository(), rig.engine.options, SystemClock()).run()
    assert rig.password() == first[1]
    rig.assert_ended()
