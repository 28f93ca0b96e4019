"""[queue]: names on the message bus. The bus itself is `transport_url` of oslo.messaging."""

from __future__ import annotations

from oslo_config import cfg

from protectd.conf.groups import register_in

GROUP = cfg.OptGroup("queue", title="Message bus; its address is transport_url in [DEFAULT]")

OPTS = [
    cfg.StrOpt("topic", default="protectd-worker", help="Topic that workers listen on."),
    cfg.StrOpt(
        "rpc_version",
        default="",
        help="""
Hold messages at this version; empty: at the newest that every worker that lives understands, which is
what an upgrade one by one needs.
""",
    ),
    cfg.StrOpt(
        "exchange", default="protectd", help="Exchange that keeps two installations on one broker apart."
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    register_in(conf, GROUP, OPTS)
