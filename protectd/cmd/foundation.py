"""What every process stands on: configuration, database, plug-ins."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from alembic.script import ScriptDirectory
from oslo_config import cfg

from protectd.cmd import state
from protectd.cmd.arguments import SYSTEM_CONFIG
from protectd.cmd.boot import Boot
from protectd.cmd.metrics import Exposition, watch_pool
from protectd.cmd.systemd import Pulse
from protectd.common.clock import Clock, SystemClock
from protectd.common.errors import ConfigurationError
from protectd.common.metrics import Metrics
from protectd.conf import secrets as secrets_options
from protectd.conf.places import shipped
from protectd.domain.providers import Protectables, load_protectables
from protectd.model import migrate
from protectd.model.clock import DatabaseClock
from protectd.model.unit_of_work import Database
from protectd.plugin.loader import AUTH, BANKS, HANDLERS, PROTECTABLES, PROTECTIONS, SECRET_STORES, Loader

IN_A_FILE = "crypto"
"""The plug-in of stores whose master keys are in a file."""

HUNG_S = 60.0
"""Longer than anything waits for a database or a broker that is away."""


class Foundation:
    """What a process is made of. A part that is never asked for is never made: an API that only sends tasks
    needs no bank and no master key. `close` ends what was made.

    :param binary: the command's name, under which it is known in `services`.
    :param in_process: messages stay within this process, whatever `transport_url` says.
    :param exposition: where its metrics are served; None: nothing is counted.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        binary: str,
        *,
        clock: Clock | None = None,
        in_process: bool = False,
        exposition: Exposition | None = None,
    ) -> None:
        self.conf = conf
        self.binary = binary
        self.clock: Clock = clock or DatabaseClock(SystemClock())
        self.stopping = threading.Event()
        self._in_process = in_process
        self._closers: list[Callable[[], object]] = []
        self.pulses: list[Pulse] = []
        self.metrics = Metrics()
        if exposition is not None:
            self._closers.append(exposition.end)
            self.metrics = exposition.begin()
        self.boot: Boot | None = None

    def close(self) -> None:
        """End the parts, the youngest first. Safe to repeat."""
        while self._closers:
            self._closers.pop()()

    @cached_property
    def host(self) -> str:
        return str(self.conf.host)

    def take_boot(self) -> Boot:
        """Have a place of its own among the processes of this name on the state directory; to be called
        before anything asks for `owner`, by processes that run tasks.

        :raises ConfigurationError: the directory cannot be used, or a former boot's process has not ended.
        """
        state.prepare(self.state_dir)
        self.boot = Boot(self.state_dir, self.binary)
        self.boot.take()
        self._closers.append(self.boot.release)
        return self.boot

    @cached_property
    def owner_prefix(self) -> str:
        """Begins the name of every boot in this place on this state directory."""
        directory = uuid.uuid5(uuid.NAMESPACE_URL, str(self.state_dir))
        place = directory.hex[:12] if self.boot is None else f"{directory.hex[:12]}-{self.boot.number}"
        return f"{self.host[:120]}:{self.binary}:{place}:"

    @cached_property
    def owner(self) -> str:
        """This boot."""
        return f"{self.owner_prefix}{os.getpid()}-{uuid.uuid4().hex[:12]}"

    def pulse(self, name: str, every_s: float) -> Pulse:
        """Of a part that makes progress every `every_s`; the process counts as hung when it does not."""
        self.pulses.append(made := Pulse(name, every_s + HUNG_S))
        return made

    @cached_property
    def database_url(self) -> str:
        return str(self.conf.database.connection)

    @cached_property
    def database(self) -> Database:
        options = self.conf.database
        database = Database(self.database_url, pool_size=options.pool_size, max_overflow=options.max_overflow)
        self._closers.append(database.dispose)
        self.metrics.connections_limit(options.pool_size + options.max_overflow)
        watch_pool(database, self.metrics)
        return database

    def learn_time(self) -> None:
        """From here on, this process goes by the database's clock."""
        if isinstance(self.clock, DatabaseClock):
            with self.database.read() as uow:
                self.clock.learn(uow.session)

    def check_schema(self) -> None:
        """:raises ConfigurationError: the tables are not those of this version."""
        scripts = ScriptDirectory(str(migrate.script_directory()))
        found, wanted = migrate.current(self.database_url), scripts.get_current_head()
        if found != wanted:
            reason = f"its schema is at {found or 'nothing'}, not {wanted}; run protectd-manage db upgrade"
            raise ConfigurationError(where="database", reason=reason)
        self.learn_time()

    @cached_property
    def loader(self) -> Loader:
        allowed = self.conf.plugins
        return Loader(
            {
                BANKS: allowed.allowed_banks,
                PROTECTABLES: allowed.allowed_protectables,
                PROTECTIONS: allowed.allowed_protections,
                SECRET_STORES: allowed.allowed_secret_stores,
                AUTH: allowed.allowed_auth,
                HANDLERS: allowed.allowed_handlers,
            }
        )

    @cached_property
    def state_dir(self) -> Path:
        return Path(self.conf.state_dir).absolute()

    @cached_property
    def scratch_dir(self) -> Path:
        named = self.conf.tasks.scratch_dir
        return Path(named).absolute() if named else self.state_dir / "scratch"

    @cached_property
    def store_names(self) -> list[str]:
        """Of secret stores."""
        return secrets_options.names(self.conf)

    @property
    def key_files(self) -> list[Path]:
        """Of the stores whose master keys are in files."""
        stores = [secrets_options.of(self.conf, name) for name in self.store_names]
        return [Path(store.options["master_key_file"]) for store in stores if store.plugin == IN_A_FILE]

    def forbidden_paths(self) -> list[str]:
        """The service's own files: never a source nor a target. What is shipped with the code is not among
        them: it holds nothing that is private to an installation."""
        conf = self.conf
        named = [conf.provider_config_dir, conf.api.paste_config, *conf.config_file, *conf.config_dir]
        named += [secrets_options.of(conf, name).options["master_key_file"] for name in self.store_names]
        own = [self.state_dir, SYSTEM_CONFIG.parent, *filter(None, named)]
        own.append(self.scratch_dir)
        return sorted({str(Path(path).absolute()) for path in own})

    @cached_property
    def protectables(self) -> Protectables:
        return load_protectables(self.conf.protectables.enabled, self.loader)


def shipped_file(name: str) -> Path:
    try:
        return shipped(name)
    except FileNotFoundError as error:
        raise ConfigurationError(where="installation", reason=str(error)) from error
