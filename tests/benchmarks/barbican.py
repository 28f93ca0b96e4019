"""Barbican beside protectd: its own API (two processes) and worker, from PyPI, on MariaDB and RabbitMQ.

It stands in a virtual environment of its own, which is made once and kept.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import amqp

from tests.benchmarks.line import Line, Request
from tests.benchmarks.sides import SHOWN, Side, Watch
from tests.fakes.daemons import Daemon, free_port, healthy, wait_for

PACKAGES = ("barbican>=20,<24", "PyMySQL", "gunicorn", "setuptools<81")

CONFIG = """\
[DEFAULT]
transport_url = {broker}
control_exchange = {mark}
host_href = {endpoint}
[database]
connection = {database}
[queue]
enable = True
topic = {mark}
namespace = {mark}
server_name = {mark}.queue
[simple_crypto_plugin]
kek = {kek}
"""

PASTE = "etc/barbican/barbican-api-paste.ini"
AUTHENTICATION = " authtoken "
"""Left out of the pipeline: who asks is believed. The delivered one for that fails at every request."""

SECRET = {"name": "benchmark", "payload": "of a benchmark", "payload_content_type": "text/plain"}

ORDER = {
    "type": "key",
    "meta": {
        "name": "benchmark",
        "algorithm": "aes",
        "bit_length": 256,
        "mode": "cbc",
        "payload_content_type": "application/octet-stream",
    },
}


def environment(cache: Path) -> Path:
    """The virtual environment; made at its first use, which takes minutes. Remove it to have it made anew."""
    place = cache / "barbican"
    if not (place / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
        subprocess.run([place / "bin/pip", "install", "--quiet", *PACKAGES], check=True)
        (place / "ready").touch()
    return place


def broker() -> amqp.Connection:
    return amqp.Connection("127.0.0.1:5672", userid="guest", password="guest")


class Program(Daemon):
    """A program of Barbican: its configuration is looked for in the home directory."""

    def __init__(self, home: Path, log: str, *command: str) -> None:
        super().__init__("", (), home / f"{log}.log")
        self.command = list(command)
        self.environment = {"HOME": str(home)}


class Barbican(Side):
    """:param base: an empty directory for its configuration and its logs."""

    name = "barbican"

    def __init__(self, base: Path, cache: Path, database: str, url: str) -> None:
        super().__init__(base)
        self._environment = environment(cache)
        self._bin = self._environment / "bin"
        self._mark = f"benchmark-{uuid.uuid4().hex[:12]}"
        self._project = uuid.uuid4().hex
        self._port = free_port()
        self.endpoint = f"http://127.0.0.1:{self._port}"
        self._configure(database, url)
        self._run("barbican-manage", "db", "upgrade")
        self.watch = Watch(database, "orders", ("PENDING",), "ACTIVE")

    def version(self) -> str:
        code = "from importlib.metadata import version; print(version('barbican'), end='')"
        return subprocess.check_output([self._bin / "python", "-c", code], text=True)

    def start(self) -> None:
        paste, place = self.base / "paste.ini", f"127.0.0.1:{self._port}"
        arguments = ("--workers", "2", "--bind", place, "--paste", f"{paste}#main")
        api = self._program("api", "gunicorn", *arguments)
        api.start()
        self._front = [api]
        wait_for(self.name, lambda: healthy(self.endpoint), 60, api)

    def start_workers(self, count: int) -> None:
        """Returns when they have a queue: an order that comes earlier is lost, and waits for ever."""
        super().start_workers(count)
        if count:
            wait_for("the queue of Barbican", self._has_queue, 60, *self._workers)

    def worker(self, number: int) -> Daemon:
        return self._program(f"worker{number}", "barbican-worker")

    def requests(self) -> list[Request]:
        return [Request("/v1/orders", self.who(), ORDER)]

    def everyday(self) -> dict[str, Request]:
        """What is asked of it is the least: who asks is believed, nothing is limited."""
        post = Request("/v1/secrets", self.who(), SECRET)
        line = Line(self.endpoint)
        made = [str(json.loads(line.ask(post)[1])["secret_ref"]) for _ in range(SHOWN)]
        line.close()
        path = f"/v1/secrets/{made[0].rpartition('/')[2]}"
        return {
            "GET one": Request(path, self.who(), method="GET"),
            f"list of {SHOWN}": Request(f"/v1/secrets?limit={SHOWN}", self.who(), method="GET"),
            "POST": post,
        }

    def who(self) -> dict[str, str]:
        who = {"X-Project-Id": self._project, "X-User-Id": "benchmark", "X-Roles": "admin,creator,member"}
        return {"X-Identity-Status": "Confirmed", **who}

    def clean(self) -> None:
        """Remove what it leaves on the broker."""
        with broker() as connection:
            channel = connection.channel()
            for queue in (self._mark, f"{self._mark}.{self._mark}.queue"):
                channel.queue_delete(queue)
            for exchange in (self._mark, f"{self._mark}_fanout"):
                channel.exchange_delete(exchange)

    def _has_queue(self) -> bool:
        with broker() as connection:
            try:
                connection.channel().queue_declare(self._mark, passive=True)
            except amqp.NotFound:
                return False
            return True

    def _configure(self, database: str, url: str) -> None:
        folder = self.base / ".barbican"
        folder.mkdir()
        kek = base64.b64encode(os.urandom(32)).decode()
        (folder / "barbican.conf").write_text(
            CONFIG.format(broker=url, mark=self._mark, endpoint=self.endpoint, database=database, kek=kek)
        )
        delivered = (self._environment / PASTE).read_text()
        (self.base / "paste.ini").write_text(delivered.replace(AUTHENTICATION, " "))

    def _program(self, log: str, name: str, *arguments: str) -> Program:
        return Program(self.base, log, str(self._bin / name), *arguments)

    def _run(self, name: str, *arguments: str) -> None:
        program = self._program(name, name, *arguments)
        program.start()
        assert program.process is not None
        if program.process.wait():
            raise RuntimeError(f"{name}: {program.text()[-3000:]}")
