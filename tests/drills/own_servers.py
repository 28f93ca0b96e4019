"""Servers that belong to one drill, so that they can be killed in the middle and started again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.daemons import free_port, wait_for
from tests.fakes.servers import Bus, need_program

RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""The one on the path becomes another user, whose node the machine may have."""

STARTS_S = 90.0


class Server:
    """:ivar abrupt: the signal that leaves it no time to write anything."""

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        log: Path,
        *,
        abrupt: int = signal.SIGKILL,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port
        self._command, self._log, self._abrupt = list(command), log, abrupt
        self._environment = os.environ | dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it listens."""
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        wait_for(f"{self._command[0]} on {self.port}", self._listens, STARTS_S)

    def kill(self) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            if self._abrupt == signal.SIGKILL:
                os.killpg(self._process.pid, self._abrupt)
            else:
                self._process.send_signal(self._abrupt)
        self._process.wait(30)

    def _listens(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self._log.read_text()[-2000:]
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        return False


@dataclass(frozen=True)
class Servers:
    """:ivar url: of an empty database."""

    broker: Server
    bus: Bus
    database: Server
    url: str


@contextmanager
def own_servers(kind: str) -> Iterator[Servers]:
    """:param kind: of database."""
    with own_broker() as (broker, bus), own_database_server(kind) as (database, url):
        yield Servers(broker, bus, database, url)


@contextmanager
def own_broker() -> Iterator[tuple[Server, Bus]]:
    need_program("rabbitmq-server")
    with _place() as place:
        port, name = free_port(), f"drill-{uuid.uuid4().hex[:8]}"
        environment = {
            "HOME": str(place),
            "RABBITMQ_NODENAME": f"{name}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": f"{place}/data",
            "RABBITMQ_LOG_BASE": f"{place}/log",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{place}/plugins",
            "RABBITMQ_CONFIG_FILE": f"{place}/none",
            "RABBITMQ_CONF_ENV_FILE": f"{place}/none",
        }
        server = Server([RABBITMQ], port, place / "out", environment=environment)
        with _running(server):
            yield server, Bus(f"rabbit://guest:guest@127.0.0.1:{port}/", f"{name}-worker", name)


@contextmanager
def own_database_server(kind: str) -> Iterator[tuple[Server, str]]:
    """The server and the URL of an empty database on it, which waits for the disk as an operator's does."""
    with _place() as place:
        server, url = (_postgresql if kind == "postgresql" else _mariadb)(place)
        with _running(server):
            yield server, url


def _postgresql(place: Path) -> tuple[Server, str]:
    """Its own processes outlive a postmaster that is killed, and notice; SIGQUIT ends all of them at once."""
    binaries, port, data = Path(need_program("initdb")).resolve().parent, free_port(), place / "data"
    become = (
        ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    )
    if become:
        shutil.chown(place, "postgres", "postgres")
    _run([*become, str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-N"])
    options = ["-D", str(data), "-p", str(port), "-k", str(place), "-c", "dynamic_shared_memory_type=mmap"]
    command = [*become, str(binaries / "postgres"), *options]
    url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    return Server(command, port, place / "out", abrupt=signal.SIGQUIT), url


def _mariadb(place: Path) -> tuple[Server, str]:
    port, data = free_port(), place / "data"
    user = [f"--user={os.environ.get('USER', 'root')}"] if os.geteuid() == 0 else []
    install = ["mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal"]
    need_program(install[0])
    _run([*install, f"--datadir={data}", *user])
    options = [f"--datadir={data}", f"--port={port}", f"--socket={place}/s", "--bind-address=127.0.0.1"]
    wide = ["--character-set-server=utf8mb4", "--skip-log-error"]
    command = [need_program("mariadbd"), "--no-defaults", *options, *wide, *user]
    return Server(command, port, place / "out"), f"mysql+pymysql://root@127.0.0.1:{port}/test"


@contextmanager
def _running(server: Server) -> Iterator[None]:
    try:
        server.start()
        yield
    finally:
        server.kill()


@contextmanager
def _place() -> Iterator[Path]:
    """Short, for the sake of sockets, and where another user gets in."""
    with tempfile.TemporaryDirectory(prefix="own-", ignore_cleanup_errors=True) as place:
        yield Path(place)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
