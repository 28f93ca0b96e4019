"""What the pipeline and the controllers are built on, found by name.

PasteDeploy hands strings to its factories, so `cmd` keeps the runtime it built under a name and puts that
name into the global configuration as `runtime`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from protectd.api.policies.base import Policies
from protectd.common.clock import Clock
from protectd.common.errors import ConfigurationError
from protectd.common.metrics import Metrics
from protectd.common.units import MIB
from protectd.domain.audit import Audit
from protectd.domain.discovery import Discovery
from protectd.domain.key_manager.orders import Orders
from protectd.domain.providers import Protectables, Providers
from protectd.domain.schedules import ScheduleLimits
from protectd.domain.secret_stores import SecretStores
from protectd.domain.secrets import Secrets
from protectd.domain.submission import SubmitOptions
from protectd.domain.triggers import EventSecrets
from protectd.model.unit_of_work import Database
from protectd.plugin.base import AuthPlugin
from protectd.queue.dispatcher import Dispatcher

GLOBAL_KEY = "runtime"


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """
    :ivar public_endpoint: what links begin with; empty: scheme and host of the request.
    :ivar trust_forwarded: X-Forwarded-* headers are believed.
    :ivar service_project_id: project of the service's own secrets, which nobody sees.
    :ivar max_limit: most entries of a list in one answer.
    :ivar service_down_time_s: seconds without a heartbeat after which a daemon is down.
    :ivar schedules: what triggers may say.
    :ivar submit: how often a task is tried, until when, and how turns are given.
    """

    public_endpoint: str = ""
    trust_forwarded: bool = False
    service_project_id: str = ""
    max_body_bytes: int = MIB
    max_limit: int = 1000
    service_down_time_s: float = 60.0
    schedules: ScheduleLimits = field(default_factory=ScheduleLimits)
    submit: SubmitOptions = field(default_factory=SubmitOptions)


@dataclass(frozen=True)
class Runtime:
    """Shared by every thread of one API process.

    :ivar host: name of the host whose directories a new instance means.
    :ivar event_secrets: made when the first is needed: most processes need no master key.
    :ivar secrets, orders, audit: made likewise.
    """

    database: Database
    clock: Clock
    providers: Providers
    protectables: Protectables
    discovery: Discovery
    dispatcher: Dispatcher
    auth: AuthPlugin
    policies: Policies
    host: str
    event_secrets: Callable[[], EventSecrets]
    secrets: Callable[[], Secrets]
    orders: Callable[[], Orders]
    audit: Callable[[], Audit]
    secret_stores: SecretStores
    options: ApiOptions = field(default_factory=ApiOptions)
    metrics: Metrics = field(default_factory=Metrics)


_RUNTIMES: dict[str, Runtime] = {}


def publish(name: str, runtime: Runtime) -> None:
    """Let the factories of a pipeline find `runtime` until `withdraw(name)`."""
    _RUNTIMES[name] = runtime


def withdraw(name: str) -> None:
    _RUNTIMES.pop(name, None)


@contextmanager
def published(name: str, runtime: Runtime) -> Iterator[str]:
    publish(name, runtime)
    try:
        yield name
    finally:
        withdraw(name)


def of(global_conf: Mapping[str, str]) -> Runtime:
    """The runtime that a factory's global configuration names.

    :raises ConfigurationError: it names none, or one that is not there.
    """
    name = global_conf.get(GLOBAL_KEY, "")
    if name not in _RUNTIMES:
        raise ConfigurationError(where="paste pipeline", reason=f"there is no runtime named {name!r}")
    return _RUNTIMES[name]
