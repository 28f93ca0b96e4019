"""Many clients of a key manager whose master keys are in a security module, on its bad days."""

from __future__ import annotations

import ctypes
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import requests
import webtest

from protectd.common.clock import SystemClock
from protectd.domain import project_keys, tokens
from protectd.domain.key_rotation import MasterKeys
from protectd.model.unit_of_work import Database
from protectd.plugin.secret_stores.pkcs11 import Pkcs11Store
from tests.fakes.daemons import Standalone
from tests.fakes.daemons import running as daemons
from tests.fakes.security_modules import LIBRARY, PIN, TOKENS, configure, make_token, need_library
from tests.fakes.service import Client, Service, running
from tests.functional.test_commands import run
from tests.functional.test_key_manager_orders import AES, path_of, shown
from tests.functional.test_key_manager_secrets import payload, text

pytest_plugins = ["tests.fakes.databases", "tests.fakes.security_modules"]

CLIENTS = 8
ROUNDS = 5
MODULE = """
[secrets]
store = pkcs11
pkcs11_library = {library}
pkcs11_token = {token}
pkcs11_pin_file = {pin}
"""


@pytest.fixture(scope="module")
def pin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_library()
    file = tmp_path_factory.mktemp("pin") / "pin"
    file.write_text(PIN)
    file.chmod(0o600)
    return file


@pytest.fixture
def service(tmp_path: Path, pin: Path, tokens: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Each key of a project is opened by the module each time."""
    monkeypatch.setattr(project_keys, "KEPT_S", 0.0)
    more = MODULE.format(library=LIBRARY, token=f"token {next(TOKENS)}", pin=pin)
    with running(tmp_path, mode="direct", more=more) as service:
        service.parts.secrets.keys.store("pkcs11").add_master_key()
        yield service


def store_of(service: Service) -> Pkcs11Store:
    store = service.parts.secrets.keys.store("pkcs11")
    assert isinstance(store, Pkcs11Store)
    return store


def lose_sessions(store: Pkcs11Store) -> None:
    """As a module does that was restarted, whatever the service is at."""
    token = store._token
    with token._library.turn:
        slot = token._library.loaded().get_token(token_label=token._token_label).slot
        assert ctypes.CDLL(str(LIBRARY)).C_CloseAllSessions(ctypes.c_ulong(slot.slot_id)) == 0


@contextmanager
def over_and_over(pool: ThreadPoolExecutor, *works: Any) -> Iterator[None]:
    """In threads of their own until the block ends, each at least once."""
    ended = Event()

    def work(each: Any) -> None:
        for _ in itertools.takewhile(lambda count: not (count and ended.is_set()), itertools.count()):
            each()

    running = [pool.submit(work, each) for each in works]
    try:
        yield
    finally:
        ended.set()
    for each in running:
        each.result()


def test_lost_sessions_and_new_master_keys_are_noticed_by_nobody(service: Service) -> None:
    keys = MasterKeys(service.parts.database, service.parts.secrets.keys, "pkcs11")

    def rotate() -> None:
        keys.add()
        assert keys.rewrap(batch=3).damaged == []

    def work(number: int) -> None:
        user = service.client()
        own = Client(webtest.TestApp(service.app.app), user.token, user.project_id)
        kept = text(own, f"secret {number}")
        for _ in range(ROUNDS):
            assert payload(own, kept).body == f"secret {number}".encode()
            answer = own.call("POST", "/v1/orders", {"type": "key", "meta": AES})
            assert answer.status_int == 202, answer
            found = shown(own, answer.json["order_ref"])
            assert found["status"] == "ACTIVE", found
            assert len(payload(own, path_of(found["secret_ref"])).body) == 32

    lose = partial(lose_sessions, store_of(service))
    with ThreadPoolExecutor(CLIENTS + 2) as pool, over_and_over(pool, rotate, lose):
        for each in [pool.submit(work, number) for number in range(CLIENTS)]:
            each.result()
    assert len(keys.uses()) > 2


class Daemon(Standalone):
    """With a token of its own, and an operator beside it."""

    def __init__(self, place: Path, pin: Path) -> None:
        self.conf, self.tokens = place / "protectd.conf", place / "tokens"
        self.tokens.mkdir()
        self.conf.write_text(MODULE.format(library=LIBRARY, token="tests", pin=pin))
        self.conf.chmod(0o600)
        super().__init__(place / "state", "--config-file", str(self.conf))
        self.environment |= configure(self.tokens)
        make_token("tests", self.environment)

    def operate(self, *words: str) -> Any:
        place = ("--state-dir", self.state, "--config-file", self.conf)
        told = run("manage", *place, "key", *words, **self.environment)
        assert told.returncode == 0, told.stderr
        return json.loads(told.stdout)

    def rotate(self) -> None:
        self.operate("rotate")
        assert self.operate("rewrap", "--batch", "2")["damaged"] == []

    def project(self, number: int) -> requests.Session:
        database = Database(f"sqlite:///{self.state}/protectd.db")
        with database.write() as uow:
            token = tokens.issue(uow, f"p{number}", "user", ["member"], None, SystemClock().now())
        database.dispose()
        session = requests.Session()
        session.headers["X-Auth-Token"] = token
        return session


BODY = {"payload": "a secret", "payload_content_type": "text/plain"}


@pytest.fixture
def daemon(tmp_path: Path, pin: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path, pin)
    with daemons(daemon):
        daemon.wait()
        yield daemon


def test_clients_of_a_daemon_notice_nothing_of_an_operator(daemon: Daemon) -> None:
    """Keys come and are sealed anew in another process; each project is new to the daemon."""
    daemon.operate("rotate")
    endpoint, seen = daemon.credentials()["endpoint"], Counter[int]()
    projects = [daemon.project(number) for number in range(CLIENTS * 4)]

    def ask(session: requests.Session, verb: str, url: str, **more: Any) -> requests.Response:
        answer = session.request(verb, url, timeout=60, **more)
        seen[answer.status_code] += 1
        return answer

    def work(number: int) -> None:
        for session in projects[number::CLIENTS]:
            kept = ask(session, "POST", f"{endpoint}/v1/secrets", json=BODY).json()["secret_ref"]
            for _ in range(ROUNDS):
                told = ask(session, "GET", f"{kept}/payload", headers={"Accept": "text/plain"})
                assert told.text == "a secret", told.text
                wish = {"type": "key", "meta": AES}
                assert ask(session, "POST", f"{endpoint}/v1/orders", json=wish).status_code == 202

    with ThreadPoolExecutor(CLIENTS + 1) as pool, over_and_over(pool, daemon.rotate):
        for each in [pool.submit(work, number) for number in range(CLIENTS)]:
            each.result()
    assert set(seen) == {200, 201, 202}, seen


def test_a_token_that_is_gone_or_empty_is_503_until_it_is_back(daemon: Daemon) -> None:
    url = f"{daemon.credentials()['endpoint']}/v1/secrets"
    new = daemon.project(1)
    empty = new.post(url, json=BODY, timeout=60)
    assert (empty.status_code, empty.json()["code"]) == (503, 503), empty.text
    assert "has no master key" in empty.json()["description"]
    daemon.operate("rotate")
    assert new.post(url, json=BODY, timeout=60).status_code == 201
    away = daemon.tokens.with_name("away")
    daemon.tokens.rename(away)
    other = daemon.project(2)
    gone = other.post(url, json=BODY, timeout=60)
    assert (gone.status_code, gone.json()["code"]) == (503, 503), gone.text
    assert "security module is not available" in gone.json()["description"]
    assert new.get(url, timeout=60).json()["total"] == 1
    away.rename(daemon.tokens)
    assert other.post(url, json=BODY, timeout=60).status_code == 201
