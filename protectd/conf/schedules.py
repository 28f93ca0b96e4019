"""[schedules]: what triggers may say, and how engines fire them."""

from __future__ import annotations

from oslo_config import cfg

from protectd.conf.groups import register_in

GROUP = cfg.OptGroup("schedules", title="Triggers and scheduled operations")

OPTS = [
    cfg.IntOpt(
        "min_interval_s",
        default=60,
        min=1,
        max=86400,
        help="A trigger whose first 500 times come closer than so many seconds is refused.",
    ),
    cfg.IntOpt(
        "default_window_s",
        default=900,
        min=1,
        max=31536000,
        help="Seconds after its time in which a trigger that does not say may still fire.",
    ),
    cfg.IntOpt(
        "min_window_s", default=1, min=0, max=31536000, help="Shortest window of a trigger in seconds."
    ),
    cfg.IntOpt(
        "max_window_s", default=604800, min=1, max=31536000, help="Longest window of a trigger in seconds."
    ),
    cfg.FloatOpt(
        "poll_interval_s",
        default=1,
        min=0.05,
        max=60,
        help="""
Longest time in seconds between two looks for triggers that are due. An engine that knows of an earlier one
looks at its time.
""",
    ),
    cfg.IntOpt(
        "batch", default=200, min=1, max=10000, help="Triggers that one look of an engine fires at most."
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    register_in(conf, GROUP, OPTS)
