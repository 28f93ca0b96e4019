"""From one master key to the next, with whatever may come between."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import pytest
from sqlalchemy import delete, event

from protectd.common.errors import ConfigurationError
from protectd.common.ids import new_id
from protectd.domain.key_rotation import MasterKeyInUse, MasterKeys
from protectd.domain.secrets import OCTETS, Secrets
from protectd.model.models import ProjectKeyRow, Secret
from protectd.model.unit_of_work import Database
from protectd.plugin.base import MasterKeyMissing, SecretDamaged, WrappedKey
from protectd.plugin.secret_stores.crypto import CryptoStore
from protectd.plugin.secret_stores.master_keys import make_master_key, name_of, read_master_keys
from tests.fakes.daemons import manage
from tests.functional.test_commands import config, run

pytest_plugins = ["tests.fakes.databases"]

PLAIN = b"correct horse battery staple"
PROJECTS = [f"project-{number}" for number in range(25)]


class Rig:
    """Secrets of many projects under one master key in a file."""

    def __init__(self, database: Database, file: Path) -> None:
        self.database, self.file = database, file
        make_master_key(file)
        self.secrets = self.service()
        self.ids = {project: self.add(project) for project in PROJECTS}

    def service(self) -> Secrets:
        """As another process has it."""
        return Secrets({"crypto": CryptoStore.from_options({"master_key_file": str(self.file)})}, "crypto")

    @property
    def keys(self) -> MasterKeys:
        return MasterKeys(self.database, self.secrets.keys, "crypto")

    def store(self) -> Any:
        return self.secrets.keys.store("crypto")

    def add(self, project: str) -> str:
        with self.database.write() as uow:
            return self.secrets.add(uow, project, PLAIN).id

    def insert(self, project: str, secrets: Secrets | None = None) -> Secret:
        with self.database.write() as uow:
            secret = Secret(id=new_id(), project_id=project, secret_type="opaque", content_type=OCTETS)
            return (secrets or self.secrets).insert(uow, secret, PLAIN)

    def add_direct(self, project: str) -> str:
        """As secrets were sealed before projects had keys."""
        secret_id, master = f"direct-{project}", self.store().master_key_ids()[0]
        key = self.store().unwrap(WrappedKey(master, b""), key_id=master, project_id=project)
        with self.database.write() as uow:
            uow.secrets.add(
                Secret(
                    id=secret_id,
                    project_id=project,
                    store="crypto",
                    key_id=master,
                    cipher_text=key.seal(PLAIN, secret_id),
                )
            )
        return secret_id

    def all_open(self, secrets: Secrets | None = None) -> None:
        with self.database.read() as uow:
            for project, secret_id in self.ids.items():
                assert (secrets or self.service()).open(uow, secret_id, project) == PLAIN

    def all_gone(self) -> None:
        with self.database.write() as uow:
            for table in (Secret, ProjectKeyRow):
                uow.session.execute(delete(table))

    def counts(self) -> list[tuple[bool, bool, int, int]]:
        return [(use.present, use.newest, use.project_keys, use.secrets) for use in self.keys.uses()]


@pytest.fixture
def rig(any_database: Database, tmp_path: Path) -> Iterator[Rig]:
    yield Rig(any_database, tmp_path / "master.key")


def test_a_project_has_one_key_and_many_secrets(rig: Rig) -> None:
    rig.add(PROJECTS[0])
    assert rig.counts() == [(True, True, len(PROJECTS), 0)]
    rig.all_open()


def test_everything_is_sealed_anew_and_the_former_key_is_good_for_nothing(rig: Rig) -> None:
    rig.ids["direct"] = rig.add_direct("direct")
    [former] = rig.store().master_key_ids()
    former_key = read_master_keys(rig.file)[0]
    rig.store().add_master_key()
    assert rig.counts() == [(True, True, 0, 0), (True, False, len(PROJECTS), 1)]
    with pytest.raises(MasterKeyInUse):
        rig.keys.drop(former)
    done = rig.keys.rewrap(batch=4)
    assert (done.project_keys, done.secrets, done.damaged) == (len(PROJECTS), 1, [])
    assert rig.counts() == [(True, True, len(PROJECTS) + 1, 0), (True, False, 0, 0)]
    rig.keys.drop(former)
    rig.all_open()
    opens_nothing(rig, CryptoStore(former_key))


def opens_nothing(rig: Rig, store: CryptoStore) -> None:
    secrets = Secrets({"crypto": store}, "crypto")
    with rig.database.read() as uow:
        for project, secret_id in rig.ids.items():
            with pytest.raises(MasterKeyMissing):
                secrets.open(uow, secret_id, project)


def test_a_process_that_was_running_reads_and_writes_all_the_while(rig: Rig) -> None:
    running = rig.service()
    rig.all_open(running)
    rig.store().add_master_key()
    rig.keys.rewrap()
    rig.all_open(running)
    with rig.database.write() as uow:
        rig.ids["new"] = running.add(uow, "new", PLAIN).id
    assert rig.counts()[0] == (True, True, len(PROJECTS) + 1, 0)
    rig.all_open()


def test_one_that_is_broken_off_leaves_what_opens_and_goes_on(rig: Rig) -> None:
    rig.store().add_master_key()

    class Killed(BaseException):
        pass

    def told(count: int) -> None:
        if count >= 8:
            raise Killed

    with pytest.raises(Killed):
        rig.keys.rewrap(batch=4, told=told)
    assert rig.counts() == [(True, True, 8, 0), (True, False, len(PROJECTS) - 8, 0)]
    rig.all_open()
    assert rig.keys.rewrap(batch=4).project_keys == len(PROJECTS) - 8
    rig.all_open()


def test_several_at_once_beside_writers_end_alike(rig: Rig) -> None:
    rig.store().add_master_key()

    def rewrap() -> None:
        MasterKeys(rig.database, rig.service().keys, "crypto").rewrap(batch=3)

    def write(number: int) -> None:
        for each in range(5):
            project = f"late-{number}-{each}"
            with rig.database.write() as uow:
                rig.ids[project] = rig.service().add(uow, project, PLAIN).id

    with ThreadPoolExecutor(5) as pool:
        running = [pool.submit(rewrap) for _ in range(3)] + [pool.submit(write, each) for each in range(2)]
        for each in running:
            each.result()
    rig.keys.rewrap()
    assert rig.counts()[0] == (True, True, len(PROJECTS) + 10, 0)
    rig.all_open()


# --- a master key that is dropped while it is in use ---


class Halting(CryptoStore):
    """Waits once when it has sealed a key, as long as nobody says `go`."""

    sealed: Event
    go: Event

    def _wrap(self, raw: bytes, key_id: str, project_id: str) -> WrappedKey:
        made = super()._wrap(raw, key_id, project_id)
        self.sealed.set()
        self.go.wait(HALT_S)
        self.go.set()
        return made


HALT_S = 1.0
"""Longer than anybody needs who does not wait for it."""


def halting(rig: Rig) -> tuple[Halting, Secrets]:
    store = Halting.from_options({"master_key_file": str(rig.file)})
    store.sealed, store.go = Event(), Event()
    return store, Secrets({"crypto": store}, "crypto")


def drop_beside(rig: Rig, store: Halting, master: str) -> bool:
    """Whether it was dropped."""
    assert store.sealed.wait(60)
    rig.store().add_master_key()
    try:
        rig.keys.drop(master)
        return True
    except MasterKeyInUse:
        return False
    finally:
        store.go.set()


def test_a_key_that_is_made_while_its_master_key_is_dropped_is_not_lost(rig: Rig) -> None:
    [master] = rig.store().master_key_ids()
    rig.all_gone()
    store, slow = halting(rig)

    def add() -> str:
        with rig.database.write() as uow:
            return slow.add(uow, "slow", PLAIN).id

    with ThreadPoolExecutor(1) as pool:
        added = pool.submit(add)
        assert not drop_beside(rig, store, master)
        rig.ids = {"slow": added.result()}
    rig.all_open()
    assert rig.keys.rewrap().project_keys == 1
    rig.keys.drop(master)
    rig.all_open()


def test_keys_that_are_sealed_anew_while_the_next_master_key_is_dropped_are_not_lost(rig: Rig) -> None:
    middle = rig.store().add_master_key()
    store, slow = halting(rig)
    with ThreadPoolExecutor(1) as pool:
        rewrapped = pool.submit(MasterKeys(rig.database, slow.keys, "crypto").rewrap)
        assert not drop_beside(rig, store, middle)
        rewrapped.result()
    rig.all_open()


def test_master_keys_come_and_go_while_projects_do(rig: Rig) -> None:
    def write(number: int) -> None:
        for each in range(20):
            project = f"late-{number}-{each}"
            with rig.database.write() as uow:
                secret_id = rig.service().add(uow, project, PLAIN).id
            rig.ids[project] = secret_id

    def rotate() -> int:
        dropped = 0
        for _ in range(20):
            rig.store().add_master_key()
            rig.keys.rewrap()
            for former in rig.store().master_key_ids()[1:]:
                with suppress(MasterKeyInUse):
                    rig.keys.drop(former)
                    dropped += 1
        return dropped

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, each) for each in range(3)]
        assert pool.submit(rotate).result() > 0
        for each in writing:
            each.result()
    assert len(rig.ids) == len(PROJECTS) + 60
    rig.all_open()


def test_first_secrets_of_a_project_that_come_at_once_share_a_key(rig: Rig) -> None:
    barrier = Barrier(6)

    def add(_: int) -> str:
        barrier.wait()
        return rig.add("crowded")

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(add, range(6)))) == 6
    assert rig.counts() == [(True, True, len(PROJECTS) + 1, 0)]


def test_a_secret_that_was_not_kept_leaves_no_key_that_others_would_use(rig: Rig) -> None:
    """What is sealed with a key whose row was rolled back could never be opened."""
    with pytest.raises(RuntimeError), rig.database.write() as uow:
        rig.secrets.add(uow, "undone", PLAIN)
        raise RuntimeError
    rig.ids["undone"] = rig.add("undone")
    rig.all_open()


def test_the_key_that_sealed_last_is_not_asked_for_again_while_it_seals(rig: Rig) -> None:
    seen: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        seen.append(statement.split()[0])

    event.listen(rig.database.engine, "before_cursor_execute", note)
    kept = rig.insert(PROJECTS[0])
    assert [word for word in seen if word != "BEGIN"] == ["INSERT"]
    rig.ids[PROJECTS[0]] = kept.id
    rig.all_open()


def test_a_later_key_of_the_project_seals_from_its_commit_on(rig: Rig) -> None:
    project, key_id = PROJECTS[0], new_id()
    former = rig.insert(project).key_id
    made = rig.store().new_key(key_id=key_id, project_id=project)
    row = ProjectKeyRow(id=key_id, project_id=project, store="crypto", generation=2)
    row.master_key_id, row.wrapped = made.master_key_id, made.wrapped
    with rig.database.write() as uow:
        uow.project_keys.add(row)
    assert former != key_id
    assert [rig.insert(project).key_id for _ in range(2)] == [key_id, key_id]


def test_a_key_that_never_came_to_be_seals_nothing_else(rig: Rig) -> None:
    secret = Secret(id=new_id(), project_id="undone", secret_type="opaque", content_type=OCTETS)
    with pytest.raises(RuntimeError), rig.database.write() as uow:
        undone = rig.secrets.insert(uow, secret, PLAIN).key_id
        raise RuntimeError
    kept = rig.insert("undone")
    assert kept.key_id != undone
    rig.ids["undone"] = kept.id
    rig.all_open()


def test_what_does_not_open_is_named_and_left_as_it_is(rig: Rig) -> None:
    rig.store().add_master_key()
    with rig.database.write() as uow:
        found = uow.project_keys.current(PROJECTS[3], "crypto")
        assert found is not None
        row = uow.session.get_one(ProjectKeyRow, found.id)
        row.wrapped = row.wrapped[:-1] + bytes([row.wrapped[-1] ^ 1])
        uow.flush()
        damaged, text = row.id, bytes(row.wrapped)
    done = rig.keys.rewrap(batch=5)
    assert (done.project_keys, done.damaged) == (len(PROJECTS) - 1, [damaged])
    with rig.database.read() as uow:
        left = uow.project_keys.find(damaged)
        assert left is not None and bytes(left.wrapped) == text
        with pytest.raises(SecretDamaged):
            rig.service().open(uow, rig.ids[PROJECTS[3]], PROJECTS[3])


def test_one_that_waits_for_its_payload_needs_no_master_key(rig: Rig) -> None:
    with rig.database.write() as uow:
        waiting = Secret(id="waiting", project_id=PROJECTS[0])
        rig.secrets.seal(uow, waiting, None)
        uow.secrets.add(waiting)
    rig.store().add_master_key()
    assert rig.counts() == [(True, True, 0, 0), (True, False, len(PROJECTS), 0)]
    assert rig.keys.rewrap().damaged == []


def test_a_secret_that_is_deleted_beside_it_stays_without_its_bytes(rig: Rig) -> None:
    secret_id = rig.add_direct(PROJECTS[0])
    with rig.database.read() as uow:
        read = uow.secrets.get(secret_id)
    with rig.database.write() as uow:
        rig.secrets.delete(uow, secret_id, PROJECTS[0])
    with rig.database.write() as uow:
        assert not uow.project_keys.reseal(read, "crypto", "key", b"sealed anew")
    with rig.database.read() as uow:
        assert uow.secrets.get(secret_id, include_deleted=True).cipher_text == b""


def test_a_row_of_another_project_does_not_open(rig: Rig) -> None:
    one, other = PROJECTS[:2]
    with rig.database.write() as uow:
        secret = uow.secrets.get(rig.ids[one])
        secret.project_id = other
        uow.flush()
        with pytest.raises(SecretDamaged):
            rig.service().open(uow, secret.id, other)


def test_a_missing_master_key_is_shown_with_what_needs_it(rig: Rig) -> None:
    [former] = rig.store().master_key_ids()
    rig.file.unlink()
    make_master_key(rig.file)
    keys = MasterKeys(rig.database, rig.service().keys, "crypto")
    assert [(use.id, use.present, use.count) for use in keys.uses()][1:] == [(former, False, len(PROJECTS))]
    assert len(keys.rewrap().damaged) == len(PROJECTS)
    with pytest.raises(ConfigurationError, match="holds no key"):
        CryptoStore.from_options({"master_key_file": str(rig.file)}).drop_master_key(former)


# --- by hand ---


def test_an_operator_rotates_rewraps_and_drops(tmp_path: Path, chosen_url: str) -> None:
    options = ("--config-file", str(config(tmp_path, "", chosen_url)))
    state = tmp_path / "state"
    database = Database(chosen_url)
    store = CryptoStore.from_options({"master_key_file": str(state / "master.key")})
    with database.write() as uow:
        Secrets({"crypto": store}, "crypto").add(uow, "project", PLAIN)
    [former] = manage(*options, "key", "status")
    assert former == {"id": name_of(read_master_keys(state / "master.key")[0])} | {
        "present": True,
        "newest": True,
        "project_keys": 1,
        "secrets": 0,
    }
    new = manage(*options, "key", "rotate")["master_key_id"]
    refused = run("manage", *options, "key", "drop", former["id"])
    assert refused.returncode == 1 and "rewrap" in refused.stderr
    assert manage(*options, "key", "rewrap") == {"project_keys": 1, "secrets": 0, "damaged": []}
    assert manage(*options, "key", "drop", former["id"]) == {"dropped": former["id"]}
    assert [use["id"] for use in manage(*options, "key", "status")] == [new]
    assert former["id"] not in dump(database)
    database.dispose()


def dump(database: Database) -> str:
    """All rows of all tables."""
    with database.read() as uow:
        tables = Secret.metadata.sorted_tables
        return "\n".join(str(row) for table in tables for row in uow.session.execute(table.select()))


def test_no_master_key_shows_in_what_is_printed(tmp_path: Path, chosen_url: str) -> None:
    options = ("--config-file", str(config(tmp_path, "", chosen_url)))
    file = tmp_path / "state" / "master.key"
    texts = [run("manage", *options, "key", each) for each in ("rotate", "status", "rewrap")]
    for line in file.read_text().split():
        assert all(line not in told.stdout + told.stderr for told in texts)
    assert os.stat(file).st_mode & 0o777 == 0o600
