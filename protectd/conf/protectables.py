"""[protectables]: which types of resources there are."""

from __future__ import annotations

from oslo_config import cfg

from protectd.conf.groups import register_in

GROUP = cfg.OptGroup("protectables", title="Types of resources")

OPTS = [
    cfg.ListOpt("enabled", default=["directory"], help="Types that plans may contain."),
]


def register(conf: cfg.ConfigOpts) -> None:
    register_in(conf, GROUP, OPTS)
