"""Sites as they are set up: two of each daemon over real servers, or everything in one process."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import make_url

from tests.drills.own_servers import own_servers
from tests.drills.processes import marked, signal_all
from tests.drills.records import Records
from tests.drills.site import LEASE_S, Site
from tests.drills.wires import Wire
from tests.fakes.daemons import Daemon, close, free_port
from tests.fakes.servers import Bus, missing, own_bus, own_mariadb, own_postgresql

PORTS = {"rabbit": 5672, "postgresql": 5432, "mysql": 3306}
OWN = "own-"
DISK_BYTES = 16 * 1024 * 1024

CONFIG = """
[DEFAULT]
state_dir = {top}/state
provider_config_dir = {top}/providers
transport_url = {broker}
report_interval_s = 1
[database]
connection = {database}
[api]
workers = 2
[queue]
topic = {topic}
exchange = {exchange}
[tasks]
lease_s = {lease_s}
retry_base_s = 0.5
retry_cap_s = 2
max_attempts = 10
stop_grace_s = 3
[engine]
poll_interval_s = 0.5
resend_grace_s = 3
[vault]
workers = 1
pack_mib = 4
lock_wait_s = 3
[secrets]
master_key_file = {top}/state/master.key
[quota]
plans = -1
[dispatch]
handler = {handler}
"""

PROVIDER = """
[provider]
id = 6659007d-6f66-4a0f-9cb4-17d6aded0bb9
name = default
description = A bank that every worker reaches
bank = filesystem
plugin = directory
[filesystem]
path = {top}/bank
"""


@contextmanager
def separate(top: Path, kind: str, *, handler: str = "default") -> Iterator[Site]:
    """Two APIs, two workers, two engines, on a database of this kind and on RabbitMQ, each behind a wire.

    :param kind: of database; with `own-` before it, both servers are the site's own.
    """
    with ExitStack() as stack:
        servers = stack.enter_context(own_servers(kind.removeprefix(OWN))) if kind.startswith(OWN) else None
        kind = kind.removeprefix(OWN)
        bus = servers.bus if servers else stack.enter_context(own_bus())
        direct = servers.url if servers else stack.enter_context(own_database(kind, top))
        broker = Wire(_port(bus.url))
        stack.callback(broker.close)
        database = None if kind == "sqlite" else Wire(_port(direct))
        if database is not None:
            stack.callback(database.close)
        config = _configure(top, bus, _through(bus.url, broker), _through(direct, database), handler)
        site = Site(top, Records(kind, direct), ["--config-file", str(config)], handler == "noop")
        site.bus, site.broker, site.database, site.servers = bus, broker, database, servers
        _add_daemons(site)
        with _running(site):
            yield site


@contextmanager
def together(top: Path) -> Iterator[Site]:
    """Everything in one process, on SQLite, in a small file system of its own for the database."""
    state = top / "state"
    state.mkdir(mode=0o700)
    with small_disk(state):
        config = _configure(top, None, "rabbit://", f"sqlite:///{state}/protectd.db", "default")
        options = ["--config-file", str(config), "--state-dir", str(state)]
        site = Site(top, Records("sqlite", f"sqlite:///{state}/protectd.db"), options)
        port = free_port()
        daemon = site.add("standalone", "protectd", *options, "--port", str(port))
        site.apis, site.workers, site.engines = [daemon], [daemon], [daemon]
        site.endpoints = [f"http://127.0.0.1:{port}"]
        with _running(site):
            yield site


@contextmanager
def _running(site: Site) -> Iterator[None]:
    try:
        site.revive()
        site.enroll()
        yield
    finally:
        site.thaw()
        close(*site.daemons)
        signal_all(sorted(marked(site.mark)), signal.SIGKILL)


@contextmanager
def own_database(kind: str, top: Path) -> Iterator[str]:
    """URL of an empty one."""
    if kind == "sqlite":
        yield f"sqlite:///{top}/protectd.db"
    else:
        with {"postgresql": own_postgresql, "mariadb": own_mariadb}[kind]() as url:
            yield url


@contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    """A file system of a few MiB."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "tmpfs", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        missing(f"no file system can be mounted: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def _add_daemons(site: Site) -> None:
    for number in (1, 2):
        port = free_port()
        own = _write(site.top / f"api{number}.conf", f"[api]\nbind_port = {port}\n")
        site.endpoints.append(f"http://127.0.0.1:{port}")
        site.apis.append(site.add("api", f"api{number}", *site.options, "--config-file", str(own)))
        state = ["--state-dir", str(site.top / f"worker{number}")]
        site.workers.append(site.add("worker", f"worker{number}", *site.options, *state))
        site.engines.append(site.add("engine", f"engine{number}", *site.options))


def _configure(top: Path, bus: Bus | None, broker: str, database: str, handler: str) -> Path:
    (top / "state").mkdir(mode=0o700, exist_ok=True)
    (top / "providers").mkdir()
    _write(top / "providers" / "default.conf", PROVIDER.format(top=top))
    names = {"topic": bus.topic, "exchange": bus.exchange} if bus else {"topic": "none", "exchange": "none"}
    text = CONFIG.format(top=top, broker=broker, database=database, lease_s=LEASE_S, handler=handler, **names)
    config = _write(top / "protectd.conf", text)
    for command in (["secrets", "create-master-key"], ["db", "upgrade"]):
        _manage("--config-file", str(config), *command)
    return config


def _write(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def _manage(*arguments: str) -> None:
    daemon = Daemon("manage", arguments, Path("/dev/null"))
    daemon.root_on_path()
    done = subprocess.run(
        daemon.command, env=os.environ | daemon.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _port(url: str) -> int:
    return make_url(url).port or {"rabbit": 5672, "postgresql+psycopg": 5432}.get(
        make_url(url).drivername, 3306
    )


def _through(url: str, wire: Wire | None) -> str:
    """The URL of the near end of the wire."""
    if wire is None:
        return url
    parsed = make_url(url).set(host="127.0.0.1", port=wire.port)
    if parsed.drivername.startswith("postgresql"):
        parsed = parsed.update_query_dict({"sslmode": "disable"})
    return parsed.render_as_string(hide_password=False)
