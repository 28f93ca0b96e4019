"""Composition: the parts of a process, each made of the configuration when it is first asked for."""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from oslo_config import cfg

from protectd.api import policies
from protectd.api.policies.base import Policies
from protectd.api.runtime import ApiOptions, Runtime, published
from protectd.cmd.arguments import SYSTEM_CONFIG
from protectd.cmd.heartbeat import Heartbeat
from protectd.cmd.network import is_loopback
from protectd.cmd.pipeline import load_pipeline
from protectd.common.clock import Clock, SystemClock
from protectd.common.errors import ConfigurationError
from protectd.common.units import MIB
from protectd.conf.places import shipped
from protectd.domain.providers import Protectables, Providers, load_protectables, load_providers
from protectd.domain.secrets import Secrets
from protectd.domain.tokens import Lookup
from protectd.domain.vaults import Vaults
from protectd.engine.reconciler import Reconciler
from protectd.engine.relay import Relay
from protectd.engine.service import EngineService
from protectd.model import migrate
from protectd.model.unit_of_work import Database
from protectd.plugin.base import AuthPlugin, SecretStorePlugin
from protectd.plugin.loader import AUTH, BANKS, PROTECTABLES, PROTECTIONS, SECRET_STORES, Loader, make
from protectd.queue.client import TaskClient
from protectd.queue.dispatcher import DIRECT, QUEUE, Dispatcher, operation_modes
from protectd.queue.server import Tasks, TaskServer
from protectd.queue.transport import make_transport
from protectd.tasks.base import BaseTask
from protectd.tasks.env import TaskEnv, TaskOptions
from protectd.tasks.operations import operations
from protectd.vault.engine import VaultEngine
from protectd.vault.options import EngineOptions

LOG = logging.getLogger(__name__)


class Parts:
    """What a process is made of. A part that is never asked for is never made: an API that only sends tasks
    needs no bank and no master key. `close` ends what was made.

    :param binary: the command's name, under which it is known in `services`.
    :param in_process: messages stay within this process, whatever `transport_url` says.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        binary: str,
        *,
        clock: Clock | None = None,
        in_process: bool = False,
    ) -> None:
        self.conf = conf
        self.binary = binary
        self.clock: Clock = clock or SystemClock()
        self.stopping = threading.Event()
        self._in_process = in_process
        self._closers: list[Callable[[], object]] = []

    def close(self) -> None:
        """End the parts, the youngest first. Safe to repeat."""
        while self._closers:
            self._closers.pop()()

    # --- what others are made of ---

    @cached_property
    def host(self) -> str:
        return str(self.conf.host)

    @cached_property
    def owner_prefix(self) -> str:
        """Names every boot of this process, and of no other on the same database."""
        place = uuid.uuid5(uuid.NAMESPACE_URL, str(Path(self.conf.state_dir).absolute()))
        return f"{self.host[:120]}:{self.binary}:{place.hex[:12]}:"

    @cached_property
    def owner(self) -> str:
        """This boot."""
        return f"{self.owner_prefix}{os.getpid()}-{uuid.uuid4().hex[:12]}"

    @cached_property
    def database_url(self) -> str:
        return str(self.conf.database.connection)

    @cached_property
    def database(self) -> Database:
        options = self.conf.database
        database = Database(self.database_url, pool_size=options.pool_size, max_overflow=options.max_overflow)
        self._closers.append(database.dispose)
        return database

    def check_schema(self) -> None:
        """:raises ConfigurationError: the tables are not those of this version."""
        scripts = ScriptDirectory(str(migrate.script_directory()))
        found, wanted = migrate.current(self.database_url), scripts.get_current_head()
        if found != wanted:
            reason = f"its schema is at {found or 'nothing'}, not {wanted}; run protectd-manage db upgrade"
            raise ConfigurationError(where="database", reason=reason)

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
            }
        )

    @cached_property
    def providers(self) -> Providers:
        named = self.conf.provider_config_dir
        directory = Path(named) if named else _shipped("providers.d")
        return load_providers(
            directory, {"state_dir": str(self.state_dir)}, self.loader, self._forbidden_paths()
        )

    @cached_property
    def state_dir(self) -> Path:
        return Path(self.conf.state_dir).absolute()

    def _forbidden_paths(self) -> list[str]:
        """The service's own files: never a source nor a target. What is shipped with the code is not among
        them: it holds nothing that is private to an installation."""
        conf = self.conf
        named = [conf.provider_config_dir, conf.api.paste_config, *conf.config_file, *conf.config_dir]
        own = [self.state_dir, SYSTEM_CONFIG.parent, conf.secrets.master_key_file, *filter(None, named)]
        return sorted({str(Path(path).absolute()) for path in own})

    @cached_property
    def protectables(self) -> Protectables:
        return load_protectables(self.conf.protectables.enabled, self.loader)

    # --- the vault and the operations ---

    @cached_property
    def store(self) -> SecretStorePlugin:
        """:raises ConfigurationError: the master key is missing or others can read it."""
        name = self.conf.secrets.store
        plugin: type[SecretStorePlugin] = self.loader.load(SECRET_STORES, name)
        options = {"master_key_file": self.conf.secrets.master_key_file}
        return make(lambda: plugin.from_options(options), f"secret store {name}")

    @cached_property
    def vault_options(self) -> EngineOptions:
        options = self.conf.vault
        return EngineOptions(
            node=self.host,
            workers=options.workers,
            pack_bytes=options.pack_mib * MIB,
            level=options.compression_level,
            lock_wait_s=options.lock_wait_s,
        )

    @cached_property
    def vault_engine(self) -> VaultEngine:
        engine = VaultEngine(self.vault_options)
        self._closers.append(engine.close)
        return engine

    @cached_property
    def vaults(self) -> Vaults:
        name = self.conf.secrets.store
        return Vaults(
            self.database,
            Secrets({name: self.store}, name),
            self.vault_engine,
            self.clock,
            self.conf.secrets.service_project_id,
            self.vault_options.identity(),
        )

    @cached_property
    def env(self) -> TaskEnv:
        options = self.conf.tasks
        return TaskEnv(
            database=self.database,
            clock=self.clock,
            providers=self.providers,
            protectables=self.protectables,
            vaults=self.vaults,
            owner=self.owner,
            host=self.host,
            options=TaskOptions(
                lease_s=options.lease_s,
                max_attempts=options.max_attempts,
                retry_base_s=options.retry_base_s,
                retry_cap_s=options.retry_cap_s,
            ),
            stopping=self.stopping,
        )

    @cached_property
    def operations(self) -> Mapping[str, Callable[[], BaseTask[Any]]]:
        return operations(self.env)

    @cached_property
    def tasks(self) -> Tasks:
        return Tasks(self.operations)

    # --- the queue ---

    @cached_property
    def transport(self) -> Any:
        transport = make_transport(self.conf, url="fake://" if self._in_process else None)
        self._closers.append(transport.cleanup)
        return transport

    @cached_property
    def client(self) -> TaskClient:
        queue = self.conf.queue
        client = TaskClient(
            self.transport, queue.topic, self.conf.tasks.publish_budget_s, exchange=queue.exchange
        )
        self._closers.append(client.close)
        return client

    @cached_property
    def dispatcher(self) -> Dispatcher:
        modes = operation_modes(self.conf.dispatch.mode, self.conf.dispatch.modes)
        ways = set(modes.values())
        dispatcher = Dispatcher(
            modes,
            database=self.database,
            clock=self.clock,
            client=self.client if QUEUE in ways else None,
            tasks=self.tasks if DIRECT in ways else None,
            host=self.host,
            direct_timeout_s=self.conf.dispatch.direct_timeout_s,
        )
        if DIRECT in ways:
            self.env.announcer = dispatcher
        self._closers.append(lambda: dispatcher.close(self.conf.tasks.stop_grace_s))
        if DIRECT in ways:
            self._closers.append(self.stopping.set)  # runs before: closing goes from last to first
        return dispatcher

    @cached_property
    def task_server(self) -> TaskServer:
        self.env.announcer = self.dispatcher
        return TaskServer(
            self.transport,
            self.tasks,
            host=self.host,
            stopping=self.stopping,
            topic=self.conf.queue.topic,
            exchange=self.conf.queue.exchange,
            concurrency=self.conf.tasks.concurrency,
            client=TaskClient,
        )

    # --- the engine ---

    @cached_property
    def relay(self) -> Relay:
        return Relay(self.database, self.clock, self.dispatcher, self.conf.engine.resend_grace_s)

    @cached_property
    def reconciler(self) -> Reconciler:
        return Reconciler(self.database, self.clock, self.operations)

    @cached_property
    def engine(self) -> EngineService:
        chores = [self.reconciler.run_once, self.relay.run_once]
        return EngineService(chores, self.conf.engine.poll_interval_s)

    @cached_property
    def heartbeat(self) -> Heartbeat:
        beat = Heartbeat(
            self.database,
            self.clock,
            host=self.host,
            binary=self.binary,
            topic=self.conf.queue.topic if self.binary == "protectd-worker" else None,
            interval_s=self.conf.report_interval_s,
        )
        self._closers.append(beat.stop)
        return beat

    # --- the API ---

    @cached_property
    def auth(self) -> AuthPlugin:
        name = self.conf.auth_strategy
        plugin: type[AuthPlugin] = self.loader.load(AUTH, name)
        return make(lambda: plugin.from_options({}, Lookup(self.database, self.clock)), f"auth {name}")

    @cached_property
    def policies(self) -> Policies:
        return policies.load(self.conf)

    @cached_property
    def runtime(self) -> Runtime:
        api = self.conf.api
        return Runtime(
            database=self.database,
            clock=self.clock,
            providers=self.providers,
            protectables=self.protectables,
            dispatcher=self.dispatcher,
            auth=self.auth,
            policies=self.policies,
            host=self.host,
            options=ApiOptions(
                public_endpoint=api.public_endpoint,
                trust_forwarded=api.trust_forwarded,
                max_body_bytes=api.max_body_bytes,
                max_limit=api.max_limit,
                max_attempts=self.conf.tasks.max_attempts,
            ),
        )

    def application(self) -> Any:
        """The WSGI application at the end of the paste pipeline that `auth_strategy` picks."""
        named = self.conf.api.paste_config
        file = Path(named) if named else _shipped("protectd-api-paste.ini")
        with published(f"runtime-{uuid.uuid4().hex}", self.runtime) as name:
            return load_pipeline(file, self.conf.auth_strategy, name)

    def check_address(self, bind_host: str) -> None:
        """:raises ConfigurationError: everyone who reaches the port is believed, and others than us would."""
        if self.auth.loopback_only and not is_loopback(bind_host):
            reason = (
                f"{self.conf.auth_strategy} believes everyone, so it binds loopback only, not {bind_host}"
            )
            raise ConfigurationError(where="auth_strategy", reason=reason)


@contextmanager
def parts(conf: cfg.ConfigOpts, binary: str, *, in_process: bool = False) -> Iterator[Parts]:
    """Parts that are ended at the end of the block."""
    made = Parts(conf, binary, in_process=in_process)
    try:
        yield made
    finally:
        made.close()


def _shipped(name: str) -> Path:
    try:
        return shipped(name)
    except FileNotFoundError as error:
        raise ConfigurationError(where="installation", reason=str(error)) from error
