"""[dispatch]: which operations go through the queue."""

from __future__ import annotations

from oslo_config import cfg

from protectd.conf.groups import register_in

GROUP = cfg.OptGroup("dispatch", title="Dispatch of operations")

MODES = ("queue", "direct")

OPTS = [
    cfg.StrOpt(
        "mode",
        default="queue",
        choices=MODES,
        help="""
`queue` sends operations to workers; `direct` runs them in the API process, which needs no broker and no
worker. It may be changed with a restart; what waits is done either way.
""",
    ),
    cfg.DictOpt(
        "modes",
        default={},
        help="Operations that differ from `mode`, such as `verify:direct,restore:queue`.",
    ),
    cfg.StrOpt(
        "handler",
        default="default",
        help="""
What does the operations: an entry point of `protectd.handlers`. `default` protects; `noop` ends each
operation as simulated and touches nothing, for drills of load and upgrades.
""",
    ),
    cfg.FloatOpt(
        "direct_timeout_s",
        default=60,
        min=0,
        max=3600,
        help="Seconds that a request waits for its operation in direct mode; then it goes on alone.",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    register_in(conf, GROUP, OPTS)
