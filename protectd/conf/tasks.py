"""[tasks]: leases, retries and how much a worker does at once."""

from __future__ import annotations

from oslo_config import cfg

from protectd.conf.groups import register_in

GROUP = cfg.OptGroup("tasks", title="Operations in workers")

OPTS = [
    cfg.IntOpt(
        "lease_s",
        default=60,
        min=3,
        max=3600,
        help="""
Seconds after its last sign of life until another worker may take a task over. Shorter finds dead
workers sooner; too short takes tasks from workers that are only slow.
""",
    ),
    cfg.IntOpt(
        "max_attempts", default=5, min=1, max=100, help="How often a task is begun before it is given up."
    ),
    cfg.FloatOpt(
        "retry_base_s",
        default=5,
        min=0.1,
        max=3600,
        help="Seconds until the second attempt after a passing fault; doubled for each further one.",
    ),
    cfg.FloatOpt(
        "retry_cap_s", default=600, min=0.1, max=86400, help="Longest wait between two attempts in seconds."
    ),
    cfg.FloatOpt(
        "stall_s",
        default=900,
        min=1,
        max=86400,
        help="""
Seconds without a sign of life from the work itself after which its lease is not renewed any more, so
that another worker may try.
""",
    ),
    cfg.FloatOpt(
        "deadline_s",
        default=0,
        min=0,
        help="Seconds from a request to the end that its operation has to be at by then; 0: no deadline.",
    ),
    cfg.IntOpt(
        "per_project",
        default=0,
        min=0,
        help="""
Operations of one project that run at the same time, in the whole installation; 0: any number. Set it
alike for all workers. Who has to wait holds nothing and loses nothing.
""",
    ),
    cfg.IntOpt(
        "per_provider",
        default=0,
        min=0,
        help="Operations on one provider's bank that run at the same time; 0: any number. As `per_project`.",
    ),
    cfg.DictOpt(
        "project_weights",
        default={},
        help="""
Projects that get more or less than one turn each when several wait, such as `<project id>:2`. A
project of weight 2 gets two turns where others get one.
""",
    ),
    cfg.IntOpt("concurrency", default=2, min=1, max=256, help="Tasks that one worker runs at the same time."),
    cfg.StrOpt(
        "scratch_dir",
        default="",
        help="""
Directory of this host where restore drills write and clean up again; it needs room for the largest checkpoint
that is drilled, and is nobody's source or target. Empty: `scratch` in the state directory.
""",
    ),
    cfg.FloatOpt(
        "publish_budget_s",
        default=2,
        min=0.1,
        max=60,
        help="""
Seconds within which the broker has to take a message; the engine sends it later otherwise. No request
waits for it.
""",
    ),
    cfg.FloatOpt(
        "stop_grace_s",
        default=8,
        min=0,
        max=3600,
        help="Seconds that a stopping process gives its running tasks before it hands them back.",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    register_in(conf, GROUP, OPTS)
