"""What does the work: vaults, operations, the queue, the engine."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from protectd.cmd.foundation import Foundation
from protectd.cmd.heartbeat import Heartbeat
from protectd.common.units import MIB
from protectd.domain.secrets import Secrets
from protectd.domain.vaults import Vaults
from protectd.engine.reconciler import Reconciler
from protectd.engine.relay import Relay
from protectd.engine.service import EngineService
from protectd.plugin.base import SecretStorePlugin
from protectd.plugin.loader import SECRET_STORES, make
from protectd.queue.client import TaskClient
from protectd.queue.dispatcher import DIRECT, QUEUE, Dispatcher, operation_modes
from protectd.queue.server import Tasks, TaskServer
from protectd.queue.transport import make_transport
from protectd.tasks.base import BaseTask
from protectd.tasks.env import TaskEnv, TaskOptions
from protectd.tasks.operations import operations
from protectd.vault.engine import VaultEngine
from protectd.vault.errors import WorkerLost
from protectd.vault.options import EngineOptions

LOG = logging.getLogger(__name__)


class Work(Foundation):
    """Vaults, operations, queue and engine."""

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

    def warm_up(self) -> threading.Thread:
        """Start the vault's processes beside whatever else starts: the first operation finds them ready.

        :returns: what ends when they are.
        """
        warm = threading.Thread(
            target=self._warm, args=(self.vault_engine,), name="vault-warm-up", daemon=True
        )
        warm.start()
        return warm

    def _warm(self, engine: VaultEngine) -> None:
        try:
            engine.warm()
        except WorkerLost as error:
            if not self.stopping.is_set():
                LOG.info("the vault's processes start with the first operation: %s", error)

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
        budget_s = None if self._in_process else self.conf.tasks.publish_budget_s
        client = TaskClient(self.transport, queue.topic, budget_s, exchange=queue.exchange)
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
        chores = [self.reconciler.run_once, self.relay.run_once, self.database.fold_log]
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
