"""[protectables]: which types of resources there are."""

from __future__ import annotations

from oslo_config import cfg

from protectd.conf.groups import register_in

GROUP = cfg.OptGroup("protectables", title="Types of resources")

OPTS = [
    cfg.ListOpt("enabled", default=["directory"], help="Types that plans may contain."),
    cfg.FloatOpt(
        "discovery_deadline_s",
        default=5.0,
        min=0.1,
        max=60.0,
        help="""
Seconds after which the API does not wait any longer for a plug-in that looks for instances or their
children, and answers 503. Raise it where a plug-in asks something that is far away.
""",
    ),
    cfg.FloatOpt(
        "discovery_keep_s",
        default=10.0,
        min=0.0,
        max=3600.0,
        help="""
Seconds for which the API tells again what a plug-in found, without asking it anew. Raise it where asking
is dear.
""",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    register_in(conf, GROUP, OPTS)
