"""What does the work: vaults, operations, the queue, the engine."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from protectd.cmd.foundation import Foundation, shipped_file
from protectd.cmd.heartbeat import Heartbeat
from protectd.cmd.logs import log_options, start_logging
from protectd.common.errors import ConfigurationError
from protectd.common.units import MIB
from protectd.conf import secrets as secrets_options
from protectd.conf.metrics import port_of
from protectd.domain.audit import Audit, AuditOptions
from protectd.domain.bank_secrets import BankSecrets
from protectd.domain.key_manager.orders import Orders
from protectd.domain.providers import Providers, load_providers
from protectd.domain.quota import DEFAULTS, QuotaOptions
from protectd.domain.schedules import ScheduleLimits
from protectd.domain.secrets import Secrets
from protectd.domain.triggers import EventSecrets
from protectd.domain.vaults import Vaults
from protectd.engine.census import Census
from protectd.engine.purge import ExpiredKeys, Purger
from protectd.engine.reconciler import Reconciler
from protectd.engine.relay import Relay
from protectd.engine.service import Chore, EngineService
from protectd.engine.usage import UsageAudit
from protectd.model.models import Service
from protectd.model.repositories.services import number_of
from protectd.model.repositories.waiting import Limits
from protectd.plugin.base import HandlerPlugin, SecretStorePlugin
from protectd.plugin.loader import HANDLERS, SECRET_STORES, make
from protectd.queue.client import TaskClient
from protectd.queue.contract import OLDEST, VERSION
from protectd.queue.dispatcher import DIRECT, QUEUE, Dispatcher, operation_modes
from protectd.queue.server import Tasks, TaskServer
from protectd.queue.transport import make_transport
from protectd.tasks.base import BaseTask
from protectd.tasks.env import TaskEnv, TaskOptions
from protectd.tasks.scratch import Scratch, ScratchUnusable
from protectd.vault.engine import VaultEngine
from protectd.vault.errors import WorkerLost
from protectd.vault.options import EngineOptions

LOG = logging.getLogger(__name__)

TASK_BINARIES = ("protectd", "protectd-worker")
DIRECT_BINARIES = (*TASK_BINARIES, "protectd-api")


class Work(Foundation):
    """Vaults, operations, queue and engine."""

    # --- the vault and the operations ---

    @cached_property
    def stores(self) -> Mapping[str, SecretStorePlugin]:
        """By name. :raises ConfigurationError: a master key is missing or others can read it."""
        return {name: self._store(name) for name in self.store_names}

    def _store(self, name: str) -> SecretStorePlugin:
        told = secrets_options.of(self.conf, name)
        plugin: type[SecretStorePlugin] = self.loader.load(SECRET_STORES, told.plugin)
        return make(lambda: plugin.from_options(told.options), f"secret store {name}")

    @cached_property
    def vault_options(self) -> EngineOptions:
        options = self.conf.vault
        return EngineOptions(
            node=self.host,
            workers=options.workers,
            pack_bytes=options.pack_mib * MIB,
            level=options.compression_level,
            lock_wait_s=options.lock_wait_s,
            held=None if self.boot is None else self.boot.held,
            prepare=self._begin_child_logging(),
        )

    def _begin_child_logging(self) -> Callable[[], None]:
        """An operator's tool logs where it was called, whatever daemons do."""
        options = {"debug": self.conf.debug}
        if self.binary in DIRECT_BINARIES:
            options = log_options(self.conf, self.binary)
        return partial(start_logging, **options)

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
    def secrets(self) -> Secrets:
        return Secrets(self.stores, self.conf.secrets.store, self.clock)

    @cached_property
    def bank_secrets(self) -> BankSecrets:
        project_id = self.conf.secrets.service_project_id
        return BankSecrets(self.database, lambda: self.secrets, project_id, self.clock)

    @cached_property
    def providers(self) -> Providers:
        named = self.conf.provider_config_dir
        return load_providers(
            Path(named) if named else shipped_file("providers.d"),
            {"state_dir": str(self.state_dir)},
            self.loader,
            self.forbidden_paths(),
            lambda secret_id: self.bank_secrets.open(secret_id),
        )

    @cached_property
    def audit(self) -> Audit:
        options = self.conf.audit
        directory = Path(options.directory) if options.directory else None
        made = Audit(
            self.database, self.clock, self.host, AuditOptions(directory, options.group_s, options.anchor_s)
        )
        self._closers.append(made.close)
        return made

    @cached_property
    def orders(self) -> Orders:
        return Orders(self.secrets, self.conf.secrets.service_project_id)

    @cached_property
    def event_secrets(self) -> EventSecrets:
        return EventSecrets(self.secrets, self.conf.secrets.service_project_id)

    @cached_property
    def schedule_limits(self) -> ScheduleLimits:
        options = self.conf.schedules
        return ScheduleLimits(
            min_interval_s=options.min_interval_s,
            window_s=options.default_window_s,
            min_window_s=options.min_window_s,
            max_window_s=options.max_window_s,
        )

    @cached_property
    def vaults(self) -> Vaults:
        return Vaults(
            self.database,
            self.secrets,
            self.vault_engine,
            self.clock,
            self.conf.secrets.service_project_id,
            self.vault_options.identity(),
        )

    @cached_property
    def task_options(self) -> TaskOptions:
        options = self.conf.tasks
        return TaskOptions(
            lease_s=options.lease_s,
            max_attempts=options.max_attempts,
            retry_base_s=options.retry_base_s,
            retry_cap_s=options.retry_cap_s,
            stall_s=options.stall_s,
            deadline_s=options.deadline_s or None,
            limits=Limits(options.per_project or None, options.per_provider or None),
            weights=project_weights(options.project_weights),
            quotas=self.quota_options,
        )

    @property
    def quota_options(self) -> QuotaOptions:
        options = self.conf.quota
        given = {name: int(options[name]) for name in DEFAULTS if name in options}
        return QuotaOptions({**DEFAULTS, **given}, dict(options.project_classes))

    def clear_scratch(self) -> None:
        """Remove what drills of processes that are dead have left on this host."""
        try:
            swept = Scratch(self.scratch_dir).sweep()
        except ScratchUnusable as error:
            LOG.warning("restore drills cannot be run: %s", error)
        else:
            if swept:
                LOG.warning("%d rooms of lost drills are cleared", swept)

    @cached_property
    def env(self) -> TaskEnv:
        """For tasks that come by the queue: a message says that there is something, turns say what."""
        return TaskEnv(
            database=self.database,
            clock=self.clock,
            providers=self.providers,
            protectables=self.protectables,
            vaults=self.vaults,
            owner=self.owner,
            host=self.host,
            options=self.task_options,
            stopping=self.stopping,
            metrics=self.metrics,
            in_turn=True,
            scratch=Scratch(self.scratch_dir),
            orders=self.orders,
        )

    @cached_property
    def handler(self) -> HandlerPlugin:
        name = self.conf.dispatch.handler
        plugin: type[HandlerPlugin] = self.loader.load(HANDLERS, name)
        return make(plugin, f"handler {name}")

    @cached_property
    def operations(self) -> Mapping[str, Callable[[], BaseTask[Any]]]:
        self.env.is_brief = self.handler.is_brief
        self.env.operations = self.handler.operations(self.env)
        return self.env.operations

    @cached_property
    def tasks(self) -> Tasks:
        return Tasks(self.operations, self.host)

    @cached_property
    def direct_env(self) -> TaskEnv:
        """For tasks that this process runs for a request: each its own."""
        env = replace(self.env, in_turn=False, is_brief=self.handler.is_brief)
        env.operations = self.handler.operations(env)
        return env

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
    def _modes(self) -> Mapping[str, str]:
        return operation_modes(self.conf.dispatch.mode, self.conf.dispatch.modes)

    @property
    def _ways(self) -> frozenset[str]:
        return frozenset(self._modes.values())

    @property
    def _all_brief(self) -> bool:
        """Whoever only sends need not have the handler that does it, and then knows nothing of it."""
        try:
            return self.handler.is_brief
        except ConfigurationError:
            return False

    @cached_property
    def dispatcher(self) -> Dispatcher:
        modes, ways = self._modes, self._ways
        dispatcher = Dispatcher(
            modes,
            database=self.database,
            clock=self.clock,
            client=self.client if QUEUE in ways else None,
            tasks=Tasks(self.direct_env.operations, self.host) if DIRECT in ways else None,
            host=self.host,
            direct_timeout_s=self.conf.dispatch.direct_timeout_s,
            all_brief=self._all_brief,
        )
        if DIRECT in ways:
            self.direct_env.announcer = dispatcher
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
        grace_s = self.conf.engine.resend_grace_s
        return Relay(self.database, self.clock, self.dispatcher, grace_s, self.metrics)

    @cached_property
    def reconciler(self) -> Reconciler:
        down_s = self.conf.service_down_time_s
        lease_s = self.conf.tasks.lease_s
        return Reconciler(self.database, self.clock, self.operations, lease_s, down_s, self.metrics)

    def fence_former_boot(self) -> None:
        """What a former boot was doing in this place is taken from it: that it is dead is certain."""
        taken = self.reconciler.fence(self.owner_prefix, self.owner)
        if taken:
            LOG.warning("%d tasks of a former boot are handed over", taken)
            self.reconciler.lost()

    @cached_property
    def engine(self) -> EngineService:
        every_s = self.conf.engine.poll_interval_s
        pulse = self.pulse("the engine", every_s)
        keys = ExpiredKeys(self.database, self.clock)
        chores: list[Chore] = [
            self.reconciler.run_once,
            self.relay.run_once,
            keys.run_once,
            self.database.fold_log,
        ]
        if port_of(self.conf, self.binary):
            chores.append(Census(self.database, self.clock, self.metrics).run_once)
        if days := self.conf.engine.purge_after_days:
            chores.append(Purger(self.database, self.clock, days).run_once)
        chores.append(UsageAudit(self.database, self.clock).run_once)
        chores.append(pulse.beat)
        return EngineService(chores, every_s)

    @cached_property
    def heartbeat(self) -> Heartbeat:
        runs_tasks = self.binary in TASK_BINARIES
        beat = Heartbeat(
            self.database,
            self.clock,
            host=self.host,
            binary=self.binary,
            topic=self.conf.queue.topic if runs_tasks else None,
            interval_s=self.conf.report_interval_s,
            pulse=self.pulse("the heartbeat", self.conf.report_interval_s),
            version=VERSION,
            on_beat=self._heed if runs_tasks else self._hold,
        )
        self._closers.append(beat.stop)
        return beat

    def _heed(self, service: Service) -> None:
        """An operator has disabled this process: it takes no more tasks. What it runs goes on."""
        self.env.service_id = service.id
        if service.disabled and not self.env.disabled.is_set():
            LOG.warning("disabled: takes no more tasks (%s)", service.disabled_reason or "no reason given")
            self.env.disabled.set()
            self.task_server.rest()
        elif not service.disabled and self.env.disabled.is_set():
            LOG.info("enabled: takes tasks again")
            self.env.disabled.clear()
            self.task_server.start()
        self._hold(service)

    def _hold(self, service: Service) -> None:
        """Messages are sent as the oldest worker that lives understands them."""
        since = self.clock.now() - timedelta(seconds=self.conf.service_down_time_s)
        with self.database.read() as uow:
            common = uow.services.common_version(self.conf.queue.topic, since) or OLDEST
        version = self.conf.queue.rpc_version or min(common, VERSION, key=number_of)
        if version != service.rpc_current_version:
            with self.database.write() as uow:
                uow.services.hold_at(service.id, version)
        if QUEUE in self._ways:
            self.client.hold_at(version)


def project_weights(texts: Mapping[str, str]) -> dict[str, float]:
    """:raises ConfigurationError: a weight is not a number above 0."""
    try:
        weights = {project_id: float(text) for project_id, text in texts.items()}
    except ValueError as error:
        raise ConfigurationError(where="tasks.project_weights", reason=str(error)) from error
    if not all(0 < weight < math.inf for weight in weights.values()):
        raise ConfigurationError(where="tasks.project_weights", reason="weights are numbers above 0")
    return weights
