"""[metrics]: where each daemon tells Prometheus how it is doing."""

from __future__ import annotations

from oslo_config import cfg

from protectd.conf.groups import register_in

GROUP = cfg.OptGroup("metrics", title="Metrics for Prometheus")

OPTS = [
    cfg.StrOpt(
        "bind_host",
        default="127.0.0.1",
        help="""
Address that metrics are served on, never that of the API. Who reaches it needs no token and sees how busy
the service is, but no project, so let it be loopback and put what asks for a password before it.
""",
    ),
    cfg.PortOpt(
        "port",
        default=0,
        min=0,
        help="""
Port of the metrics of the daemon that reads this file; 0: none are served. Where several daemons of a host
share a file, the options below tell them apart.
""",
    ),
    cfg.PortOpt("api_port", default=0, min=0, help="Port of protectd-api; 0: that of `port`."),
    cfg.PortOpt("worker_port", default=0, min=0, help="Port of protectd-worker; 0: that of `port`."),
    cfg.PortOpt("engine_port", default=0, min=0, help="Port of protectd-engine; 0: that of `port`."),
]

_OWN = {"protectd-api": "api_port", "protectd-worker": "worker_port", "protectd-engine": "engine_port"}


def port_of(conf: cfg.ConfigOpts, binary: str) -> int:
    """The port that a daemon serves its metrics on; 0: on none."""
    own = _OWN.get(binary)
    return int((conf.metrics[own] if own else 0) or conf.metrics.port)


def register(conf: cfg.ConfigOpts) -> None:
    register_in(conf, GROUP, OPTS)
