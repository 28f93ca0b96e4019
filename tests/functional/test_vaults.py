"""Vaults of projects: made once, however many come at a time and wherever a creation was cut off."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from protectd.common.clock import SystemClock
from protectd.common.errors import ConfigurationError
from protectd.common.ids import new_id
from protectd.domain.secrets import SecretInUse, Secrets
from protectd.domain.vault_passwords import CONSUMER
from protectd.domain.vaults import OtherVault, Vaults
from protectd.model.models import Vault
from protectd.model.repositories.base import Page
from protectd.model.repositories.secrets import SecretNotFound
from protectd.model.repositories.vaults import VaultRowNotFound
from protectd.model.unit_of_work import Database
from protectd.plugin.banks.filesystem import FilesystemBank
from protectd.plugin.banks.memory import MemoryBank
from protectd.plugin.base import BankPlugin, BankUnavailable, Buffer
from protectd.plugin.secret_stores.crypto import CryptoStore
from protectd.vault.engine import EngineOptions, VaultEngine
from protectd.vault.errors import VaultNotFound, WrongPassword
from protectd.vault.repository import Repository, WriterIdentity
from tests.fakes.rows import OTHER_PROJECT, PROJECT

pytest_plugins = ["tests.fakes.databases"]

SERVICE = "service-project"
MASTER_KEY = os.urandom(32)


@dataclass(frozen=True)
class Place:
    """A provider as the vaults see it."""

    id: str
    bank: BankPlugin

    def vault_bank(self, project_id: str) -> BankPlugin:
        return self.bank.section(f"{self.id}/{project_id}")


class FlakyBank(FilesystemBank):
    """Fails at the put of one object, before or after it is stored."""

    fail_at = ""
    stored = False

    def put(self, key: str, data: Buffer) -> None:
        failing = self.fail_at and key.startswith(self.fail_at)
        if not failing or self.stored:
            super().put(key, data)
        if failing:
            raise BankUnavailable(reason="pulled the plug")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(new_id(), FilesystemBank(tmp_path / "bank"))


@pytest.fixture
def engine() -> Iterator[VaultEngine]:
    engine = VaultEngine(EngineOptions(in_process=True))
    yield engine
    engine.close()


def made(database: Database, engine: VaultEngine) -> Vaults:
    """As after a restart: nothing in memory."""
    secrets = Secrets({"crypto": CryptoStore(MASTER_KEY)}, "crypto")
    identity = WriterIdentity("protectd-test", "protectd", os.getpid())
    return Vaults(database, secrets, engine, SystemClock(), SERVICE, identity)


def row(database: Database, place: Place, project_id: str = PROJECT) -> Vault:
    with database.read() as uow:
        found = uow.vaults.of(place.id, project_id)
    assert found is not None
    return found


def use(vaults: Vaults, place: Place, project_id: str = PROJECT) -> int:
    with vaults.session(place, project_id) as session:
        return len(session.snapshots())


def test_the_first_use_makes_a_vault_and_the_next_one_finds_it(
    any_database: Database, place: Place, engine: VaultEngine
) -> None:
    assert use(made(any_database, engine), place) == 0
    vault = row(any_database, place)
    assert (vault.status, vault.initial) == ("ready", None)
    assert use(made(any_database, engine), place) == 0
    assert row(any_database, place).id == vault.id


def test_each_project_and_provider_has_a_vault_and_a_password_of_its_own(
    any_database: Database, place: Place, engine: VaultEngine, tmp_path: Path
) -> None:
    vaults, second = made(any_database, engine), Place(new_id(), FilesystemBank(tmp_path / "second"))
    subjects = [(place, PROJECT), (place, OTHER_PROJECT), (second, PROJECT)]
    for where, project_id in subjects:
        use(vaults, where, project_id)
    known = [vaults.credentials(where, project_id) for where, project_id in subjects]
    assert len({password for _, password in known}) == len({location for location, _ in known}) == 3
    assert len({row(any_database, *subject).repository_id for subject in subjects}) == 3


def test_the_password_is_the_services_own_and_cannot_be_lost(
    any_database: Database, place: Place, engine: VaultEngine
) -> None:
    use(made(any_database, engine), place)
    vault, secrets = row(any_database, place), Secrets({"crypto": CryptoStore(MASTER_KEY)}, "crypto")
    with any_database.write() as uow:
        assert uow.secrets.get(vault.secret_id).project_id == SERVICE
        assert uow.secrets.consumer(vault.secret_id, *CONSUMER, vault.id) is not None
        with pytest.raises(SecretNotFound):
            secrets.open(uow, vault.secret_id, PROJECT)
        with pytest.raises(SecretInUse):
            secrets.delete(uow, vault.secret_id, None)


def test_credentials_open_the_vault_with_restic(
    chosen_database: Database, place: Place, engine: VaultEngine, restic: str
) -> None:
    vaults = made(chosen_database, engine)
    use(vaults, place)
    location, password = vaults.credentials(place, PROJECT)
    environment = {**os.environ, "RESTIC_REPOSITORY": location, "RESTIC_PASSWORD": password}
    command = [restic, "cat", "config", "--no-cache"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert json.loads(shown)["id"] == row(chosen_database, place).repository_id


def test_there_are_no_credentials_before_the_first_use_or_for_a_bank_restic_cannot_reach(
    chosen_database: Database, place: Place, engine: VaultEngine
) -> None:
    vaults = made(chosen_database, engine)
    with pytest.raises(VaultRowNotFound):
        vaults.credentials(place, PROJECT)
    with pytest.raises(ConfigurationError):
        vaults.credentials(Place(new_id(), MemoryBank()), PROJECT)


def test_creators_that_race_agree_on_one_vault(
    any_database: Database, place: Place, engine: VaultEngine
) -> None:
    """Six services that know nothing of each other, as if each were a process."""
    start = threading.Barrier(6)

    def create(vaults: Vaults) -> tuple[str, str]:
        start.wait()
        use(vaults, place)
        return vaults.credentials(place, PROJECT)

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(create, [made(any_database, engine) for _ in range(6)]))
    assert len(set(found)) == 1
    assert len(list(Path(found[0][0], "keys").iterdir())) == 1
    vault = row(any_database, place)
    assert Repository.open(place.vault_bank(PROJECT), found[0][1]).config.id == vault.repository_id
    with any_database.read() as uow:
        assert len(uow.secrets.page(Page(10))) == 1


@pytest.mark.parametrize("stored", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("object", ["keys", "config"])
def test_a_creation_that_was_cut_off_is_finished_by_the_next_use(
    chosen_database: Database, tmp_path: Path, engine: VaultEngine, object: str, stored: bool
) -> None:
    failing = type("Failing", (FlakyBank,), {"fail_at": object, "stored": stored})
    broken = Place(new_id(), failing(tmp_path / "bank"))
    with pytest.raises(BankUnavailable):
        use(made(chosen_database, engine), broken)
    assert row(chosen_database, broken).status == "creating"
    mended = Place(broken.id, FilesystemBank(tmp_path / "bank"))
    vaults = made(chosen_database, engine)
    assert use(vaults, mended) == 0
    location, password = vaults.credentials(mended, PROJECT)
    assert row(chosen_database, mended).status == "ready"
    assert len(list(Path(location, "keys").iterdir())) == 1
    assert Repository.open(mended.vault_bank(PROJECT), password)


def test_a_repository_that_is_done_while_its_row_says_creating_is_taken_as_it_is(
    chosen_database: Database, place: Place, engine: VaultEngine
) -> None:
    use(made(chosen_database, engine), place)
    before = row(chosen_database, place)
    with chosen_database.write() as uow:
        uow.vaults.get(before.id).status = "creating"
    assert use(made(chosen_database, engine), place) == 0
    after = row(chosen_database, place)
    assert (after.status, after.repository_id) == ("ready", before.repository_id)


def test_a_vault_that_is_gone_is_not_made_anew_behind_the_users_back(
    chosen_database: Database, engine: VaultEngine
) -> None:
    place = Place(new_id(), MemoryBank())
    use(made(chosen_database, engine), place)
    with pytest.raises(VaultNotFound):
        use(made(chosen_database, engine), Place(place.id, MemoryBank()))


def test_a_foreign_vault_in_its_place_is_refused(
    chosen_database: Database, place: Place, engine: VaultEngine
) -> None:
    vaults = made(chosen_database, engine)
    use(vaults, place)
    with chosen_database.write() as uow:
        uow.vaults.get(row(chosen_database, place).id).repository_id = "f" * 64
    with pytest.raises(OtherVault):
        use(made(chosen_database, engine), place)


def test_a_bank_that_holds_a_vault_of_another_database_is_left_alone(
    chosen_database: Database, place: Place, engine: VaultEngine
) -> None:
    bank = place.vault_bank(PROJECT)
    identity = WriterIdentity("elsewhere", "someone", 1)
    foreign = Repository.create(bank, "another", identity=identity, clock=SystemClock())
    with pytest.raises(WrongPassword):
        use(made(chosen_database, engine), place)
    assert Repository.open(bank, "another").config.id == foreign.config.id
    assert len(list(bank.list("keys"))) == 1


def test_the_master_key_is_derived_once(chosen_database: Database, place: Place, engine: VaultEngine) -> None:
    """With it in memory, the key files are not even read."""
    vaults = made(chosen_database, engine)
    use(vaults, place)
    for item in list(place.vault_bank(PROJECT).list("keys")):
        place.vault_bank(PROJECT).delete(item.key)
    assert use(vaults, place) == 0
    with pytest.raises(WrongPassword):
        use(made(chosen_database, engine), place)
