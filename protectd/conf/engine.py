"""[engine]: relay and reconciler."""

from __future__ import annotations

from oslo_config import cfg

from protectd.conf.groups import register_in

GROUP = cfg.OptGroup("engine", title="Engine: sends what was not sent, recovers what was lost")

OPTS = [
    cfg.FloatOpt(
        "poll_interval_s",
        default=5,
        min=0.1,
        max=3600,
        help="Seconds between two looks at the table of tasks.",
    ),
    cfg.FloatOpt(
        "resend_grace_s",
        default=60,
        min=0.1,
        max=86400,
        help="Seconds after which a task that was sent, but that nobody took, is sent again.",
    ),
    cfg.IntOpt(
        "purge_after_days",
        default=0,
        min=0,
        max=36500,
        help="""
Days after which ended tasks, and deleted plans, checkpoints and the like that nothing living refers to, are
removed from the database for good, and with the tasks what `operation_logs` shows of them. 0: never, unless
an operator runs `protectd-manage db purge`.
""",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    register_in(conf, GROUP, OPTS)
