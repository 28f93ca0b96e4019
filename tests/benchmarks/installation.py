"""protectd as an operator runs it with a broker: an API of two processes, workers, an engine."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from protectd.client.http import Client
from tests.benchmarks.line import Request
from tests.benchmarks.load import CHECKOUT
from tests.benchmarks.sides import SHOWN, Side, Watch
from tests.fakes.daemons import Daemon, User, free_port, healthy, wait_for
from tests.fakes.servers import Bus

PROVIDER = "6659007d-6f66-4a0f-9cb4-17d6aded0bb9"

CONFIG = """\
[DEFAULT]
state_dir = {state}
transport_url = {url}
auth_strategy = {auth}
provider_config_dir = {providers}
[database]
connection = {database}
[api]
bind_port = {port}
workers = 2
paste_config = {paste}
[quota]
plans = 1000000
[queue]
topic = {bus.topic}
exchange = {bus.exchange}
[plugins]
allowed_protections = directory,waiting
[quota]
plans = -1
[dispatch]
handler = {handler}
"""

PROVIDER_FILE = """\
[provider]
id = {id}
name = default
bank = filesystem
plugin = {plugin}
[filesystem]
path = $state_dir/bank
[allowed_roots]
* = {roots}
"""

PASTE = "etc/protectd/protectd-api-paste.ini"

LIMITS = {
    "ratelimit_address": ["* ^/ 1000000/minute"],
    "ratelimit": ["* ^/v1/ 1000000/minute", "POST ^/v1/[^/]+/plans$ 1000000/minute"],
}

WAITING = """\
[protectd.protections]
waiting = tests.benchmarks.waiting:WaitingProtection
"""


@dataclass(frozen=True)
class Setting:
    """How one installation differs from another.

    :ivar broker: if not that of the bus: a URL.
    :ivar handler: `noop` simulates what workers do; `default` does it.
    :ivar plugin: protects the plans' directories.
    :ivar guarded: a member's token of the service's own is asked for, and requests are counted against limits
        that they do not reach. Else whoever asks is believed, and an administrator.
    """

    database: str
    bus: Bus
    broker: str = ""
    handler: str = "default"
    plugin: str = "directory"
    guarded: bool = False
    plans: int = 8
    project: str = field(default_factory=lambda: str(uuid.uuid4()))


class Protectd(Side):
    """:param base: an empty directory for its state, its plans' directories and its logs."""

    def __init__(self, name: str, base: Path, setting: Setting) -> None:
        super().__init__(base)
        self.name = name
        self.setting = setting
        self._port = free_port()
        self.endpoint = f"http://127.0.0.1:{self._port}"
        self._plans: list[str] = []
        self._config = base / "protectd.conf"
        self._told_token = ""
        self._configure()
        for command in (("secrets", "create-master-key"), ("db", "upgrade")):
            self._run("manage", *command)
        self.watch = Watch(setting.database, "checkpoints", ("PENDING", "protecting"), "available")

    def start(self) -> None:
        api = self._daemon("api", "api")
        self._front = [api, self._daemon("engine", "engine")]
        for daemon in self._front:
            daemon.start()
        wait_for(self.name, lambda: healthy(self.endpoint), 60, api)
        self._plans = self._plans or self._make_plans()

    def worker(self, number: int) -> Daemon:
        return self._daemon("worker", f"worker{number}")

    def requests(self) -> list[Request]:
        project = self.setting.project
        path = f"/v1/{project}/providers/{PROVIDER}/checkpoints"
        return [Request(path, self.who(), {"checkpoint": {"plan_id": plan}}) for plan in self._plans]

    def everyday(self) -> dict[str, Request]:
        path, headers = f"/v1/{self.setting.project}/plans", self.who()
        resource = {"type": "directory", "name": "data", "extra_info": {"path": str(self.base / "empty0")}}
        plan = {"name": "benchmark", "provider_id": PROVIDER, "parameters": {}, "resources": [resource]}
        return {
            "GET one": Request(f"{path}/{self._plans[0]}", headers, method="GET"),
            f"list of {SHOWN}": Request(f"{path}?limit={SHOWN}", headers, method="GET"),
            "POST": Request(path, headers, {"plan": plan}),
        }

    def who(self) -> dict[str, str]:
        return {"X-Auth-Token": self._token}

    @property
    def _token(self) -> str:
        if not self.setting.guarded:
            return f"benchmark:{self.setting.project}"
        if not self._told_token:
            told = self._run("manage", "token", "create", "--project", self.setting.project)
            self._told_token = str(json.loads(told)["token"])
        return self._told_token

    def _make_plans(self) -> list[str]:
        """Of an empty directory each."""
        user = User(Client(self.endpoint, self._token, self.setting.project), self.setting.project)
        paths = [self.base / f"empty{number}" for number in range(self.setting.plans)]
        for path in paths:
            path.mkdir()
        return [user.plan(path, name=path.name) for path in paths]

    def _configure(self) -> None:
        setting, providers, state = self.setting, self.base / "providers.d", self.base / "state"
        providers.mkdir()
        state.mkdir(mode=0o700)
        provider = PROVIDER_FILE.format(id=PROVIDER, plugin=setting.plugin, roots=self.base)
        (providers / "default.conf").write_text(provider)
        package = self.base / "site" / "waiting-1.dist-info"
        package.mkdir(parents=True)
        (package / "METADATA").write_text("Metadata-Version: 2.1\nName: waiting\nVersion: 1\n")
        (package / "entry_points.txt").write_text(WAITING)
        self._config.touch(mode=0o600)
        self._config.write_text(
            CONFIG.format(
                state=state,
                url=setting.broker or setting.bus.url,
                providers=providers,
                database=setting.database,
                port=self._port,
                bus=setting.bus,
                auth="token" if setting.guarded else "noauth",
                paste=self._paste(),
                handler=setting.handler,
            )
        )

    def _daemon(self, module: str, log: str) -> Daemon:
        made = Daemon(module, ["--config-file", str(self._config)], self.base / f"{log}.log")
        made.environment["PYTHONPATH"] = self._path()
        return made

    def _run(self, module: str, *arguments: str) -> str:
        """:returns: what it printed."""
        daemon = self._daemon(module, module)
        command, environment = [*daemon.command, *arguments], os.environ | daemon.environment
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout

    def _paste(self) -> Path:
        """The shipped pipeline, with limits where they are wanted."""
        text, place = (CHECKOUT / PASTE).read_text(), self.base / "paste.ini"
        for name, rules in LIMITS.items() if self.setting.guarded else ():
            section = f"[filter:{name}]\n"
            text = text.replace(section, section + "\n    ".join(["rules =", *rules]) + "\n")
        place.write_text(text)
        return place

    def _path(self) -> str:
        return f"{CHECKOUT}:{self.base / 'site'}"
