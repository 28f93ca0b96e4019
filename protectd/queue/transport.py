"""The broker, made from the options that it is given."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import urlsplit

import oslo_messaging
from oslo_config import cfg

from protectd.common.errors import ConfigurationError

RABBIT_GROUP = "oslo_messaging_rabbit"
RABBIT_DEFAULTS = {
    # A queue has to survive the broker's restart; an operator may choose classic durable ones instead.
    "rabbit_quorum_queue": True,
    # Half a minute until a silent broker is given up, not a whole one.
    "heartbeat_timeout_threshold": 30,
}

SWITCHES = {"oslo_messaging_tracing": "tracing_enabled", "oslo_messaging_metrics": "metrics_enabled"}
"""The library reads these from the options it is given but registers them on its global ones only."""


def make_transport(conf: cfg.ConfigOpts, url: str | None = None) -> oslo_messaging.Transport:
    """Make the transport of `url` (without it: of the option transport_url). Connects to nothing yet.

    :raises ConfigurationError: there is no driver for the URL, or the URL makes no sense.
    """
    _register_switches(conf)
    try:
        transport = oslo_messaging.get_rpc_transport(conf, url=url)
    except (oslo_messaging.DriverLoadFailure, oslo_messaging.InvalidTransportURL) as error:
        raise ConfigurationError(where="transport_url", reason=type(error).__name__) from error
    if RABBIT_GROUP in conf:
        for name, value in RABBIT_DEFAULTS.items():
            conf.set_default(name, value, group=RABBIT_GROUP)
    return transport


def _register_switches(conf: cfg.ConfigOpts) -> None:
    for group, name in SWITCHES.items():
        with suppress(cfg.DuplicateOptError):
            conf.register_opt(cfg.BoolOpt(name, default=False), group=group)


def is_in_process(url: str) -> bool:
    """Whether messages live in this process only, so that a restart loses them all."""
    return urlsplit(url).scheme == "fake"
