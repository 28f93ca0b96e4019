"""[quota]: what a project may have that has no limits of its own."""

from __future__ import annotations

from oslo_config import cfg

from protectd.conf.groups import register_in

GROUP = cfg.OptGroup("quota", title="Quotas: what each project may have; -1: any amount")

OPTS = [
    cfg.IntOpt("plans", default=50, min=-1, help="Plans that a project may have."),
    cfg.IntOpt(
        "checkpoints",
        default=-1,
        min=-1,
        help="Checkpoints that a project may have, those that are being made too. What failed is free.",
    ),
    cfg.IntOpt(
        "stored_bytes",
        default=-1,
        min=-1,
        help="Bytes that a project's checkpoints may have added to banks before the next one is refused.",
    ),
    cfg.IntOpt(
        "operations",
        default=-1,
        min=-1,
        help="Operations of a project that may wait or run at the same time, before the next one is refused.",
    ),
    cfg.IntOpt("secrets", default=-1, min=-1, help="Secrets that a project may have; expired ones are free."),
    cfg.IntOpt("orders", default=-1, min=-1, help="Orders of keys that a project may have."),
    cfg.IntOpt("containers", default=-1, min=-1, help="Containers of secrets that a project may have."),
    cfg.IntOpt(
        "consumers",
        default=-1,
        min=-1,
        help="Consumers that a project's secrets may have in all, and as many that its containers may have.",
    ),
    cfg.DictOpt(
        "project_classes",
        default={},
        help="""
Projects whose limits are those of another quota class than `default`, such as `<project id>:gold`. An
administrator sets the limits of a class by the API.
""",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    register_in(conf, GROUP, OPTS)
