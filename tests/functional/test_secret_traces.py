"""Where a secret must not be found, whatever was asked and whatever has failed: a marker is looked for."""

from __future__ import annotations

import base64
import os
import resource
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import amqp
import psutil
import pytest
import requests
from sqlalchemy import MetaData, create_engine, select

from tests.fakes.daemons import Daemon, Standalone, User, close, manage, wait_for
from tests.fakes.daemons import running as daemons
from tests.fakes.servers import Bus
from tests.functional.test_end_to_end_daemons import CONFIG, Installation, make_installation, start

pytest_plugins = ["tests.fakes.databases"]

OCTETS = "application/octet-stream"
KINDS = ("payload", "passphrase", "password", "token")
RSA = {"algorithm": "rsa", "bit_length": 2048}


class Markers:
    """A text for each kind of secret, and every way in which it may be written."""

    def __init__(self) -> None:
        self.texts = {kind: f"mark<{kind}>{os.urandom(12).hex()}" for kind in KINDS}
        self.more: dict[str, bytes] = {}

    def __getattr__(self, kind: str) -> str:
        return self.texts[kind]

    def found(self, data: bytes) -> list[str]:
        """What of them is in some bytes."""
        wanted = {kind: text.encode() for kind, text in self.texts.items()} | self.more
        return [
            f"{kind} as {form}"
            for kind, plain in wanted.items()
            for form, text in _forms(plain).items()
            if text in data
        ]


def _forms(plain: bytes) -> dict[str, bytes]:
    """In base64 it stands at one of three places."""
    forms = {"text": plain, "hex": plain.hex().encode(), "HEX": plain.hex().upper().encode()}
    forms |= {"url": quote(plain).encode(), "utf-16": plain.decode("latin-1").encode("utf-16-le")}
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + plain)[4 if shift else 0 :]
        forms[f"base64 {shift}"] = coded[: (len(plain) - 3) // 3 * 4 - 4]
        forms[f"base64url {shift}"] = forms[f"base64 {shift}"].translate(bytes.maketrans(b"+/", b"-_"))
    return forms


class Asking:
    """Everything that takes a secret, asked as it should be and otherwise."""

    def __init__(self, user: User, endpoint: str, token: str, markers: Markers) -> None:
        self.user, self.url, self.markers = user, f"{endpoint}/v1", markers
        self.session = requests.Session()
        self.session.headers["X-Auth-Token"] = token
        self.project = f"{self.url}/{user.project_id}"

    def ask(self, verb: str, url: str, status: int, **more: Any) -> requests.Response:
        answer = self.session.request(verb, url, timeout=60, **more)
        assert answer.status_code == status, answer.text
        return answer

    def keep_all(self) -> str:
        """:returns: the address of an order with a passphrase."""
        text, secrets = self.markers.payload, f"{self.url}/secrets"
        plain = {"payload": text, "payload_content_type": "text/plain"}
        kept = self.ask("POST", secrets, 201, json=plain).json()["secret_ref"]
        coded = base64.b64encode(text.encode()).decode()
        octets = {"payload": coded, "payload_content_type": OCTETS, "payload_content_encoding": "base64"}
        self.ask("POST", secrets, 201, json=octets)
        later = self.ask("POST", secrets, 201, json={}).json()["secret_ref"]
        self.ask("PUT", later, 204, data=text, headers={"Content-Type": "text/plain"})
        for ref in (kept, later):
            assert self.ask("GET", f"{ref}/payload", 200, headers={"Accept": "text/plain"}).text == text
        self.fail_all(later, plain)
        meta = RSA | {"passphrase": self.markers.passphrase}
        return str(
            self.ask("POST", f"{self.url}/orders", 202, json={"type": "asymmetric", "meta": meta}).json()[
                "order_ref"
            ]
        )

    def fail_all(self, later: str, plain: dict[str, str]) -> None:
        text, secrets = self.markers.payload, f"{self.url}/secrets"
        for body in (
            plain | {"payload_content_type": "x/y"},
            plain | {"payload_content_encoding": "base64"},
            {"payload": text},
            plain | {"bit_length": text},
            plain | {"secret_type": text},
            plain | {"expiration": text},
            {"payload": [text], "payload_content_type": "text/plain"},
        ):
            self.ask("POST", secrets, 400, json=body)
        self.ask(
            "POST", secrets, 400, data=f'{{"payload": "{text}"', headers={"Content-Type": "application/json"}
        )
        self.ask("POST", secrets, 415, data=text, headers={"Content-Type": "x/y"})
        self.ask("POST", secrets, 413, json=plain | {"payload": text + "x" * 20_000})
        self.ask("PUT", later, 409, data=text, headers={"Content-Type": "text/plain"})
        self.ask("PUT", later, 415, data=text, headers={"Content-Type": "x/y"})
        wish = {"type": "key", "meta": {"algorithm": "aes", "bit_length": 256}}
        for more in ({"passphrase": self.markers.passphrase}, {"payload": text}):
            self.ask("POST", f"{self.url}/orders", 400, json=wish | {"meta": wish["meta"] | more})  # type: ignore[operator]
        for header in ("X-Auth-Token", "Authorization"):
            told = requests.get(secrets, headers={header: self.markers.token}, timeout=60)
            assert told.status_code == 401
        told = requests.get(secrets, headers={"Authorization": f"Bearer {self.markers.token}"}, timeout=60)
        assert told.status_code == 401

    def restore(self, checkpoint: str) -> None:
        auth = {"type": "password", "username": "u", "password": self.markers.password}
        body = {
            "provider_id": self.user.provider(),
            "checkpoint_id": checkpoint,
            "parameters": {},
            "restore_auth": auth,
        }
        url, elsewhere = f"{self.project}/restores", {"restore_target": "http://192.0.2.1/"}
        self.ask("POST", url, 400, json={"restore": body | elsewhere})
        self.ask("POST", url, 202, json={"restore": body})


def files_with(markers: Markers, place: Path, *but: Path) -> dict[str, list[str]]:
    seen = {}
    for file in place.rglob("*"):
        if file.is_file() and file not in but and (found := markers.found(file.read_bytes())):
            seen[str(file.relative_to(place))] = found
    return seen


def processes_with(markers: Markers, *daemons: Daemon) -> dict[str, list[str]]:
    """By name and file of /proc. Those that they have started are among them."""
    seen = {}
    for process in family(*daemons):
        for name in ("cmdline", "environ", "comm"):
            if found := markers.found(Path(f"/proc/{process.pid}/{name}").read_bytes()):
                seen[f"{process.pid} {name}"] = found
    return seen


def family(*daemons: Daemon) -> list[psutil.Process]:
    top = [psutil.Process(daemon.pid) for daemon in daemons]
    return [*top, *(child for each in top for child in each.children(recursive=True))]


@pytest.fixture
def markers() -> Markers:
    return Markers()


@pytest.mark.parametrize("shift", range(3))
def test_a_marker_is_found_however_it_is_written(markers: Markers, shift: int) -> None:
    plain = markers.payload.encode()
    coded = base64.b64encode(os.urandom(6 + shift) + plain + os.urandom(4))
    for data in (b"x" + plain + b"x", coded, plain.hex().encode(), quote(plain).encode()):
        assert markers.found(b"before" + data + b"after"), data
    assert markers.found(os.urandom(100)) == []


def test_no_secret_leaves_a_trace_of_a_service_in_one_process(tmp_path: Path, markers: Markers) -> None:
    """In its files, its log at its most talkative, and what is told of its processes."""
    conf, state = tmp_path / "protectd.conf", tmp_path / "state"
    conf.write_text("[DEFAULT]\ndebug = true\n")
    conf.chmod(0o600)
    daemon = Standalone(state, "--config-file", str(conf))
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("protected\n")
    with daemons(daemon):
        user, told = daemon.wait(), daemon.credentials()
        markers.more["master key"] = base64.b64decode((state / "master.key").read_bytes())
        markers.more["the token"] = told["token"].encode()
        asking = Asking(user, told["endpoint"], told["token"], markers)
        asking.restore(user.protect(user.plan(source), daemon)["id"])
        place = ("--state-dir", str(state), "vault", "credentials", "--provider", "default")
        vault = manage(*place, "--project", user.project_id)
        markers.more["the vault's password"] = vault["password"].encode()
        order = asking.keep_all()
        wait_for("the order", lambda: asking.ask("GET", order, 200).json()["status"] == "ACTIVE", 60, daemon)
        assert len(family(daemon)) > 1, "the vault's processes are there"
        assert processes_with(markers, daemon) == {}
        assert (state / "protectd.db-wal").stat().st_size > 0
        private = (state / "master.key", state / "credentials.json")
        assert files_with(markers, tmp_path, *private) == {}
        break_secrets(state / "protectd.db")
        body = {"payload": markers.payload, "payload_content_type": "text/plain"}
        failed = asking.ask("POST", f"{asking.url}/secrets", 500, json=body)
        assert markers.found(failed.content) == []
        assert "Traceback" in daemon.text()
        assert files_with(markers, tmp_path, *private) == {}
    assert files_with(markers, tmp_path, *private) == {}


def break_secrets(path: Path) -> None:
    """What is kept then is refused in the middle, for a reason that nobody foresaw."""
    connection = sqlite3.connect(path, timeout=60)
    try:
        connection.execute("ALTER TABLE secrets RENAME COLUMN cipher_text TO gone")
        connection.commit()
    finally:
        connection.close()


def test_a_process_that_crashes_leaves_no_memory_in_a_file(tmp_path: Path) -> None:
    """There are keys in it. Whoever started it may have allowed it."""
    state = tmp_path / "state"
    daemon = Standalone(state)
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        with daemons(daemon):
            daemon.wait()
            limits = {process.rlimit(psutil.RLIMIT_CORE)[0] for process in family(daemon)}
            daemon.end(signal.SIGABRT)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    assert limits == {0}
    assert list(tmp_path.glob("**/core*")) == []


def test_tools_leave_no_memory_either(tmp_path: Path) -> None:
    """The limit holds for what they start, too."""
    script = (
        "import resource, sys\n"
        "from protectd.cmd.door import guarded\n"
        "sys.exit(guarded('x', lambda: resource.getrlimit(resource.RLIMIT_CORE)[0]))\n"
    )
    command = ["sh", "-c", 'ulimit -S -c "$(ulimit -H -c)"; exec "$@"', "sh"]
    python = Daemon("manage", [], tmp_path / "log").command[0]
    assert subprocess.run([*command, python, "-c", script], check=False).returncode == 0


# --- daemons over a broker ---


@pytest.fixture
def installation(tmp_path: Path, shared_url: str, bus: Bus) -> Iterator[Installation]:
    made = make_installation(
        CONFIG.replace("[DEFAULT]", "[DEFAULT]\ndebug = true"), tmp_path, shared_url, bus
    )
    try:
        yield made
    finally:
        close(*made.daemons())


def test_no_secret_leaves_a_trace_of_daemons_over_a_broker(
    installation: Installation, tmp_path: Path, shared_url: str, bus: Bus, markers: Markers
) -> None:
    """In messages, which wait for a worker, in rows, in logs, and in what is told of processes."""
    first, *others = installation.workers
    start(first, installation.api)
    wait_for("the queue", lambda: "listening on" in first.text(), 60, first)
    first.end()
    user = installation.user()
    token = user.client._token
    markers.more["the token"] = token.encode()
    markers.more["master key"] = base64.b64decode((installation.state / "master.key").read_bytes())
    asking = Asking(user, installation.endpoint, token, markers)
    order = asking.keep_all()
    waiting = wait_for("a message", lambda: messages(bus), 60, installation.api)
    assert any("process_type_order" in each.decode() for each in waiting)
    assert [markers.found(each) for each in waiting if markers.found(each)] == []
    assert markers.found(rows(shared_url)) == []
    start(first, *others, installation.engine)
    everyone = installation.daemons()
    wait_for("the order", lambda: asking.ask("GET", order, 200).json()["status"] == "ACTIVE", 120, *everyone)
    assert processes_with(markers, *everyone) == {}
    assert markers.found(rows(shared_url)) == []
    assert files_with(markers, tmp_path, installation.state / "master.key") == {}


def messages(bus: Bus) -> list[bytes]:
    """What waits for workers; it waits on."""
    with amqp.Connection(host="127.0.0.1:5672", userid="guest", password="guest") as connection:
        channel, seen = connection.channel(), []
        while (message := channel.basic_get(bus.topic)) is not None:
            seen.append(str(message.body).encode() + str(message.properties).encode())
    return seen


def rows(url: str) -> bytes:
    """Everything in every table."""
    engine, tables = create_engine(url), MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        told = [
            bytes(value) if isinstance(value, (bytes, memoryview)) else str(value).encode()
            for table in tables.sorted_tables
            for row in connection.execute(select(table))
            for value in row
        ]
    engine.dispose()
    return b"\0".join(told)
