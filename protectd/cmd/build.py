"""Composition: the parts of a process, each made of the configuration when it is first asked for."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from oslo_config import cfg

from protectd.api import policies
from protectd.api.policies.base import Policies
from protectd.api.runtime import ApiOptions, Runtime, published
from protectd.cmd.foundation import shipped_file
from protectd.cmd.metrics import Exposition
from protectd.cmd.network import is_loopback
from protectd.cmd.pipeline import load_pipeline
from protectd.cmd.rights import PresentRights
from protectd.cmd.work import Work
from protectd.common.errors import ConfigurationError
from protectd.conf import secrets as secrets_options
from protectd.domain.discovery import Discovery, DiscoveryOptions
from protectd.domain.scheduled_runs import Runs
from protectd.domain.secret_stores import SecretStores
from protectd.domain.tokens import Lookup, Remembering
from protectd.engine.deciding import Deciding
from protectd.engine.firing import Firing, FiringOptions
from protectd.engine.service import PacedService
from protectd.plugin.base import AuthPlugin
from protectd.plugin.loader import AUTH, make
from protectd.tasks.ending import submit_options


class Parts(Work):
    """Everything a process may be made of."""

    @cached_property
    def auth(self) -> AuthPlugin:
        name = self.conf.auth_strategy
        plugin: type[AuthPlugin] = self.loader.load(AUTH, name)
        lookup = Remembering(Lookup(self.database, self.clock), self.clock, self.conf.api.token_memory_s)
        return make(lambda: plugin.from_config(self.conf, lookup), f"auth {name}")

    @cached_property
    def policies(self) -> Policies:
        return policies.load(self.conf, self.clock)

    @cached_property
    def scheduled_runs(self) -> Runs:
        rights = PresentRights(self.auth, self.policies)
        submit = submit_options(self.task_options)
        return Runs(self.providers, self.protectables, self.clock, self.host, rights, submit)

    @cached_property
    def firing(self) -> Firing:
        """Fires what is due; `firing_service` does so again and again."""
        firing = Firing(
            self.database,
            self.clock,
            Deciding(self.scheduled_runs, self.schedule_limits),
            lambda refs: self.dispatcher.dispatch(refs, wait_for_direct=False),
            host=self.host,
            binary=self.binary,
            options=FiringOptions(self.conf.schedules.poll_interval_s, self.conf.schedules.batch),
            metrics=self.metrics,
        )
        self._closers.append(firing.close)
        return firing

    @cached_property
    def firing_service(self) -> PacedService:
        poll_s = self.conf.schedules.poll_interval_s
        pulse = self.pulse("the firing of triggers", poll_s)
        firing = self.firing

        def look() -> float:
            pulse.beat()
            return firing.run_once()

        return PacedService(look, poll_s, "firing")

    @cached_property
    def runtime(self) -> Runtime:
        api = self.conf.api
        return Runtime(
            database=self.database,
            clock=self.clock,
            providers=self.providers,
            protectables=self.protectables,
            discovery=Discovery(self.protectables, self.clock, self._discovery_options()),
            dispatcher=self.dispatcher,
            auth=self.auth,
            policies=self.policies,
            host=self.host,
            event_secrets=lambda: self.event_secrets,
            secrets=lambda: self.secrets,
            orders=lambda: self.orders,
            audit=lambda: self.audit,
            secret_stores=self.secret_stores,
            metrics=self.metrics,
            options=ApiOptions(
                public_endpoint=api.public_endpoint,
                trust_forwarded=api.trust_forwarded,
                service_project_id=self.conf.secrets.service_project_id,
                max_body_bytes=api.max_body_bytes,
                max_limit=api.max_limit,
                service_down_time_s=self.conf.service_down_time_s,
                schedules=self.schedule_limits,
                submit=submit_options(self.task_options),
            ),
        )

    @cached_property
    def secret_stores(self) -> SecretStores:
        chosen = self.store_names if self.conf.secrets.stores else ()
        plugins = {name: secrets_options.of(self.conf, name).plugin for name in chosen}
        return SecretStores(self.database, plugins, self.conf.secrets.store)

    def _discovery_options(self) -> DiscoveryOptions:
        options = self.conf.protectables
        return DiscoveryOptions(options.discovery_deadline_s, options.discovery_keep_s)

    def application(self) -> Any:
        """The WSGI application at the end of the paste pipeline that `auth_strategy` picks."""
        named = self.conf.api.paste_config
        file = Path(named) if named else shipped_file("protectd-api-paste.ini")
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
def parts(
    conf: cfg.ConfigOpts, binary: str, *, in_process: bool = False, exposition: Exposition | None = None
) -> Iterator[Parts]:
    """Parts that are ended at the end of the block."""
    made = Parts(conf, binary, in_process=in_process, exposition=exposition)
    try:
        yield made
    finally:
        made.close()
