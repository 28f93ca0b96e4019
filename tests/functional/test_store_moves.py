"""All that one secret store has is moved into another, while both are in use."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import select

from protectd.common.errors import ConfigurationError
from protectd.domain.key_rotation import MasterKeys
from protectd.domain.project_keys import StoreNotConfigured
from protectd.domain.secret_stores import SecretStores
from protectd.domain.secrets import Secrets
from protectd.domain.store_moves import Held, Moved, StoreMove
from protectd.model.models import ProjectKeyRow, Secret
from protectd.model.unit_of_work import Database
from protectd.plugin.base import MasterKeyMissing, NoMasterKey, ProjectKeysStay, SecretStorePlugin, WrappedKey
from protectd.plugin.secret_stores.boxes import BoxingStore
from protectd.plugin.secret_stores.crypto import CryptoStore
from protectd.plugin.secret_stores.master_keys import make_master_key
from tests.fakes.daemons import Standalone
from tests.fakes.daemons import running as daemons
from tests.fakes.security_modules import LIBRARY, PIN, configure, make_token, need_library, softhsm
from tests.functional.test_commands import run
from tests.functional.test_openstacksdk import connection

pytest_plugins = ["tests.fakes.databases", "tests.fakes.security_modules"]
pytestmark = pytest.mark.usefixtures("tokens")

PLAIN = b"correct horse battery staple"
PROJECTS = [f"project-{number:02}" for number in range(15)]
EMPTY = Held(0, 0, 0)


def crypto(place: Path) -> SecretStorePlugin:
    make_master_key(place / "master.key")
    return CryptoStore.from_options({"master_key_file": str(place / "master.key")})


KINDS: dict[str, Callable[[Path], SecretStorePlugin]] = {"file": crypto, "module": softhsm}
WAYS = [("file", "module"), ("module", "file"), ("file", "file")]


class Killed(BaseException):
    pass


class Notes:
    """A trail; `settled` is how much of it is on the disk."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, str]]] = []
        self.settled = 0

    def note(self, event: str, project_id: str, **subject: str) -> None:
        self.events.append((event, project_id, subject))

    def settle(self) -> None:
        self.settled = len(self.events)

    def names(self, event: str) -> list[str]:
        return [subject.get("key_id") or project for name, project, subject in self.events if name == event]


class Rig:
    """Secrets of many projects, some in `old`, some in `new`, some in both."""

    def __init__(self, database: Database, place: Path, kinds: tuple[str, str]) -> None:
        self.database, self.place, self.kinds = database, place, kinds
        for name in ("old", "new"):
            (place / name).mkdir()
        self.secrets = self.service()
        SecretStores(database, {"old": "x", "new": "x"}, "new").all()
        self.ids: dict[str, list[str]] = {project: [] for project in PROJECTS}
        for number, project in enumerate(PROJECTS):
            for store in ("old",) * (number % 3 != 0) + ("new",) * (number % 3 != 1):
                self.add(project, store)

    def service(self, *names: str) -> Secrets:
        """As another process has it."""
        stores = {
            name: KINDS[kind](self.place / name)
            for name, kind in zip(("old", "new"), self.kinds, strict=True)
            if name in (names or ("old", "new"))
        }
        return Secrets(stores, next(reversed(stores)))

    def add(self, project: str, store: str) -> str:
        with self.database.write() as uow:
            uow.secret_stores.prefer(project, store)
            added = self.secrets.add(uow, project, PLAIN).id
        self.ids.setdefault(project, []).append(added)
        return added

    def add_direct(self, project: str) -> str:
        """As secrets were sealed before projects had keys."""
        id, store = f"direct-{project}", self.secrets.keys.store("old")
        master = store.master_key_ids()[0]
        key = store.unwrap(WrappedKey(master, b""), key_id=master, project_id=project)
        secret = Secret(id=id, project_id=project, store="old", key_id=master)
        secret.cipher_text = key.seal(PLAIN, id)
        with self.database.write() as uow:
            uow.secrets.add(secret)
        self.ids[project].append(id)
        return id

    def move(
        self,
        batch: int = 4,
        told: Callable[[int], object] = lambda _: None,
        trail: Notes | None = None,
        way: tuple[str, str] = ("old", "new"),
    ) -> Moved:
        keys = self.service().keys
        return StoreMove(self.database, keys, *way, trail or Notes()).run(batch, told)

    def all_open(self, secrets: Secrets | None = None) -> None:
        secrets = secrets or self.service()
        with self.database.read() as uow:
            for project, ids in self.ids.items():
                for id in ids:
                    assert secrets.open(uow, id, project) == PLAIN

    def rows(self) -> Mapping[str, Secret]:
        with self.database.read() as uow:
            return {row.id: row for row in uow.session.scalars(select(Secret))}

    def old_opens_nothing(self) -> None:
        """Whoever has but the former store and the whole database."""
        secrets = Secrets({"old": self.secrets.keys.store("old")}, "old")
        with self.database.read() as uow:
            for project, ids in self.ids.items():
                for id in ids:
                    with pytest.raises((MasterKeyMissing, StoreNotConfigured)):
                        secrets.open(uow, id, project)


@pytest.fixture(params=WAYS, ids="-to-".join)
def rig(request: pytest.FixtureRequest, any_database: Database, tmp_path: Path) -> Iterator[Rig]:
    yield Rig(any_database, tmp_path, request.param)


@pytest.fixture
def files(any_database: Database, tmp_path: Path) -> Iterator[Rig]:
    yield Rig(any_database, tmp_path, ("file", "file"))


def test_all_that_a_store_had_is_in_the_other_one(rig: Rig) -> None:
    direct = rig.add_direct(PROJECTS[0])
    with rig.database.write() as uow:
        waiting = Secret(id="waiting", project_id=PROJECTS[1])
        uow.secret_stores.prefer(PROJECTS[1], "old")
        rig.secrets.seal(uow, waiting, None)
        uow.secrets.add(waiting)
    before, trail = rig.rows(), Notes()
    done = rig.move(trail=trail)
    old_keys = sum(number % 3 != 0 for number in range(len(PROJECTS)))
    assert (done.project_keys, done.damaged, done.left, done.is_empty) == (old_keys, [], EMPTY, True)
    assert done.secrets == old_keys + 2
    rig.all_open()
    rig.all_open(rig.service("new"))
    rig.old_opens_nothing()
    after = rig.rows()
    assert {row.store for row in after.values()} == {"new"}
    for id, row in before.items():
        assert (after[id].updated_at, after[id].created_at) == (row.updated_at, row.created_at)
        if id != direct:
            assert (after[id].key_id, after[id].cipher_text) == (row.key_id, row.cipher_text)
    assert len(set(trail.names("key.moved"))) == len(trail.names("key.moved")) == old_keys
    assert trail.names("secret.moved") == [PROJECTS[0]]
    assert trail.settled == len(trail.events)
    again = rig.move()
    assert (again.project_keys, again.secrets, again.preferences, again.left) == (0, 0, 0, EMPTY)


def test_and_back(rig: Rig) -> None:
    rig.move()
    rig.move(way=("new", "old"))
    rig.all_open(rig.service("old"))
    assert {row.store for row in rig.rows().values()} == {"old"}


def test_what_had_keys_in_both_goes_on_with_its_own(rig: Rig) -> None:
    both = PROJECTS[2]
    with rig.database.read() as uow:
        own = uow.project_keys.current(both, "new")
    rig.move()
    with rig.database.write() as uow:
        now = uow.project_keys.current(both, "new")
        assert own is not None and now is not None and now.id == own.id
        assert uow.secret_stores.preferred(both) == "new"
    rig.add(both, "new")
    rig.all_open()


@pytest.mark.parametrize("most", [1, 5, 9, 13, 15, 16, 20, 26])
def test_one_that_is_killed_leaves_what_opens_and_the_next_one_ends_it(rig: Rig, most: int) -> None:
    """Between any two batches."""
    trail = Notes()

    def told(count: int) -> None:
        if count >= most:
            raise Killed

    rig.add_direct(PROJECTS[3])
    with pytest.raises(Killed):
        rig.move(4, told, trail)
    rig.all_open()
    assert trail.settled == len(trail.events)
    done = rig.move(4, trail=trail)
    assert done.is_empty
    rig.all_open(rig.service("new"))
    rig.old_opens_nothing()
    assert len(set(trail.names("key.moved"))) == len(trail.names("key.moved")) == 10


def test_nothing_is_moved_that_could_not_be_told_of(files: Rig) -> None:
    class Full(Notes):
        def settle(self) -> None:
            raise Killed

    with pytest.raises(Killed):
        files.move(trail=Full())
    assert {row.store for row in files.rows().values()} == {"old", "new"}
    files.all_open(files.service())


def test_readers_and_writers_notice_nothing(rig: Rig) -> None:
    over, running, late = Event(), rig.service(), rig.service()

    def read() -> int:
        count = 0
        while not over.is_set() or not count:
            rig.all_open(rig.service() if count % 2 else running)
            count += 1
        return count

    def write(number: int) -> list[tuple[str, str]]:
        made = []
        for each in range(20):
            project = PROJECTS[each % 15] if number else f"late-{each}"
            with rig.database.write() as uow:
                uow.secret_stores.prefer(project, "old")
                made.append((project, late.add(uow, project, PLAIN).id))
        return made

    with ThreadPoolExecutor(4) as pool:
        reading = pool.submit(read)
        writing = [pool.submit(write, number) for number in range(2)]
        moving = pool.submit(rig.move, 3)
        kept = [each for done in writing for each in done.result()]
        moving.result()
        over.set()
        assert reading.result()
    for project, id in kept:
        rig.ids.setdefault(project, []).append(id)
    rig.all_open()
    assert rig.move().is_empty
    rig.all_open(rig.service("new"))


def test_a_secret_that_is_sealed_while_its_key_is_moved_is_not_lost(files: Rig) -> None:
    """It says then that it is in the old store; its key tells otherwise, and is right. The next run sets it
    right."""
    project, store = PROJECTS[1], files.secrets.keys
    with files.database.read() as uow:
        key_id, key = store.current(uow, project, "old")
    files.move()
    late = Secret(id="late", project_id=project, store="old", key_id=key_id)
    late.cipher_text = key.seal(PLAIN, "late")
    with files.database.write() as uow:
        uow.secrets.add(late)
    files.ids[project].append("late")
    files.all_open(files.service("new"))
    assert (files.move().secrets, files.rows()["late"].store) == (1, "new")


def test_several_at_once_and_a_rewrap_beside_them_end_alike(files: Rig) -> None:
    files.secrets.keys.store("old").add_master_key()
    files.secrets.keys.store("new").add_master_key()

    def rewrap(store: str) -> None:
        MasterKeys(files.database, files.service().keys, store).rewrap(batch=2)

    with ThreadPoolExecutor(5) as pool:
        moving = [pool.submit(files.move, 2) for _ in range(3)]
        rewrapping = [pool.submit(rewrap, name) for name in ("old", "new")]
        for each in [*moving, *rewrapping]:
            each.result()
    assert files.move().is_empty
    MasterKeys(files.database, files.service().keys, "new").rewrap()
    files.all_open(files.service("new"))


def test_what_does_not_open_is_named_and_stays(files: Rig) -> None:
    with files.database.write() as uow:
        found = uow.project_keys.current(PROJECTS[1], "old")
        assert found is not None
        row = uow.session.get_one(ProjectKeyRow, found.id)
        row.wrapped = row.wrapped[:-1] + bytes([row.wrapped[-1] ^ 1])
        damaged = row.id
    done = files.move(batch=3)
    assert (done.damaged, done.left, done.is_empty) == ([damaged], Held(1, 1, 0), False)
    with files.database.read() as uow:
        left = uow.project_keys.find(damaged)
        assert left is not None and left.store == "old"


def test_a_deleted_secret_stays_without_its_bytes(files: Rig) -> None:
    [id] = files.ids.pop(PROJECTS[1])
    with files.database.write() as uow:
        files.secrets.delete(uow, id, PROJECTS[1])
    assert files.move().is_empty
    assert files.rows()[id].cipher_text == b""


def test_what_makes_no_sense_is_refused_before_anything_is_moved(files: Rig) -> None:
    keys = files.secrets.keys
    with pytest.raises(ConfigurationError):
        StoreMove(files.database, keys, "old", "old", Notes())
    for way in (("old", "third"), ("third", "old")):
        with pytest.raises(StoreNotConfigured):
            StoreMove(files.database, keys, *way, Notes())


def test_a_target_without_a_master_key_takes_nothing(sqlite_database: Database, tmp_path: Path) -> None:
    rig = Rig(sqlite_database, tmp_path, ("file", "file"))
    (tmp_path / "blank").mkdir()
    stores = {"old": rig.secrets.keys.store("old"), "blank": softhsm(tmp_path / "blank", first=False)}
    with pytest.raises(NoMasterKey):
        StoreMove(rig.database, Secrets(stores, "old").keys, "old", "blank", Notes())


def test_a_store_may_keep_its_keys(files: Rig) -> None:
    """A plug-in that gives no key away says so, and nothing is moved."""

    class Keeping(CryptoStore):
        take_out = SecretStorePlugin.take_out

    old = Keeping.from_options({"master_key_file": str(files.place / "old" / "master.key")})
    keys = Secrets({"old": old, "new": files.secrets.keys.store("new")}, "new").keys
    with pytest.raises(ProjectKeysStay):
        StoreMove(files.database, keys, "old", "new", Notes()).run()
    files.all_open()


def test_only_what_was_moved_is_in_the_new_store(rig: Rig) -> None:
    """A key's text is of the other store's master key, and it is the same key."""
    with rig.database.read() as uow:
        before = {row.id: row for row in uow.session.scalars(select(ProjectKeyRow))}
    rig.move()
    with rig.database.read() as uow:
        after = {row.id: row for row in uow.session.scalars(select(ProjectKeyRow))}
    new, old = rig.secrets.keys.store("new"), rig.secrets.keys.store("old")
    assert isinstance(new, BoxingStore) and set(before) == set(after)
    for id, row in after.items():
        assert row.master_key_id in new.master_key_ids()
        assert (row.wrapped != before[id].wrapped) == (before[id].store == "old")
        assert row.master_key_id not in old.master_key_ids()


def test_preferences_go_first(files: Rig) -> None:
    """Or what a project adds meanwhile would fill the store again."""
    with files.database.write() as uow:
        for project in PROJECTS:
            uow.secret_stores.prefer(project, "old")

    def told(count: int) -> None:
        if count == len(PROJECTS):
            raise Killed

    with pytest.raises(Killed):
        files.move(4, told)
    with files.database.read() as uow:
        assert uow.project_keys.count("old") == 10
        assert {uow.secret_stores.preferred(project) for project in PROJECTS} == {"new"}


# --- by hand ---

BOTH = """
[secrets]
store = {store}
stores = crypto,pkcs11
pkcs11_library = {library}
pkcs11_token = tests
pkcs11_pin_file = {pin}
"""


def test_an_operator_empties_a_file_into_a_module(tmp_path: Path) -> None:
    need_library()
    conf, state, (environment, pin) = tmp_path / "protectd.conf", tmp_path / "state", _token(tmp_path)
    conf.write_text(BOTH.format(store="crypto", library=LIBRARY, pin=pin))
    conf.chmod(0o600)
    daemon = Standalone(state, "--config-file", str(conf))
    daemon.environment |= environment
    place = ("--state-dir", state, "--config-file", conf)
    words = ("key", "move", "--from", "crypto", "--to", "pkcs11")
    with daemons(daemon):
        daemon.wait()
        told = daemon.credentials()
        user = connection(told["endpoint"], told["token"])
        made = [user.create_secret(payload="kept", payload_content_type="text/plain") for _ in range(3)]
        run("manage", *place, "key", "rotate", "--store", "pkcs11", **environment)
        refused = run("manage", *place, *words, **environment)
        assert refused.returncode == 1 and "seals for every project" in refused.stderr
        assert daemon.end()[0] == 0
    conf.write_text(BOTH.format(store="pkcs11", library=LIBRARY, pin=pin))
    with daemons(daemon):
        daemon.wait()
        told = daemon.credentials()
        user = connection(told["endpoint"], told["token"])
        before = user.get_secret(made[0].secret_id)
        moved = _json(run("manage", *place, *words, "--batch", "1", **environment))
        assert moved["left"] == {"project_keys": 0, "secrets": 0, "preferences": 0} and not moved["damaged"]
        assert moved["project_keys"] >= 1 and moved["secrets"] >= 3
        (state / "master.key").rename(tmp_path / "master.key")
        assert [user.get_secret(each.secret_id).payload for each in made] == ["kept"] * 3
        assert user.get_secret(made[0].secret_id).updated_at == before.updated_at
        (tmp_path / "master.key").rename(state / "master.key")
        [status] = _json(run("manage", *place, "key", "status", "--store", "crypto", **environment))
        assert (status["project_keys"], status["secrets"]) == (0, 0)
    events = [
        json.loads(line)
        for file in (state / "audit").glob("*.audit")
        for line in file.read_text().splitlines()
        if "key.moved" in line
    ]
    assert len(events) == moved["project_keys"]
    assert {(each["user_id"], each["source"], each["target"]) for each in events} == {
        ("operator", "crypto", "pkcs11")
    }
    assert run("manage", *place, "audit", "verify", **environment).returncode == 0


def _token(place: Path) -> tuple[dict[str, str], Path]:
    pin = place / "pin"
    pin.write_text(PIN)
    pin.chmod(0o600)
    environment = configure(place)
    make_token("tests", environment)
    return environment, pin


def _json(told: Any) -> Any:
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)
