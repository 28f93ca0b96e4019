"""[audit]: who has read which secret."""

from __future__ import annotations

from oslo_config import cfg

from protectd.conf.groups import register_in

GROUP = cfg.OptGroup("audit", title="Audit of payloads that were read")

OPTS = [
    cfg.StrOpt(
        "directory",
        default="$state_dir/audit",
        help="Where each process keeps its chain of events. Empty: none are kept.",
    ),
    cfg.FloatOpt(
        "group_s",
        default=0.2,
        min=0.01,
        max=10,
        help="Seconds for which events are gathered before they are written; so much a power cut may lose.",
    ),
    cfg.FloatOpt(
        "anchor_s",
        default=10.0,
        min=1,
        max=3600,
        help="Seconds between two notes of a chain's head in the database; who cuts more off is found out.",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    register_in(conf, GROUP, OPTS)
