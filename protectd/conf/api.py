"""[api]: how requests are served."""

from __future__ import annotations

from oslo_config import cfg

from protectd.common.units import MIB
from protectd.conf.groups import register_in

GROUP = cfg.OptGroup("api", title="REST API")

OPTS = [
    cfg.StrOpt(
        "bind_host",
        default="127.0.0.1",
        help="Address to listen on. Put a proxy that speaks TLS before anything but loopback.",
    ),
    cfg.PortOpt("bind_port", default=8799, min=0, help="Port to listen on; 0 takes a free one."),
    cfg.IntOpt(
        "workers",
        default=2,
        min=1,
        max=256,
        help="Processes of protectd-api. Standalone has one.",
    ),
    cfg.IntOpt(
        "threads",
        default=8,
        min=1,
        max=256,
        help="Requests each process answers at the same time.",
    ),
    cfg.FloatOpt(
        "token_memory_s",
        default=1.0,
        min=0.0,
        max=300.0,
        help="""
Seconds for which a token that was found live is taken without another look into the database or question
to Keystone: as long may one that is revoked still be used. 0 looks at each request.
""",
    ),
    cfg.StrOpt(
        "public_endpoint",
        default="",
        help="""
URL that clients reach the service by, such as https://protect.example.org; links in answers begin with
it. Empty: what the request was sent to.
""",
    ),
    cfg.BoolOpt(
        "trust_forwarded",
        default=False,
        help="""
Believe X-Forwarded-* headers. Only behind a proxy that sets them itself: otherwise any client chooses
its own address.
""",
    ),
    cfg.StrOpt(
        "paste_config",
        default="",
        sample_default="<the shipped protectd-api-paste.ini>",
        help="PasteDeploy file that says which filters stand before the application, and in what order.",
    ),
    cfg.IntOpt(
        "max_body_bytes",
        default=MIB,
        min=1024,
        max=64 * MIB,
        help="Largest body of a request in bytes; a larger one is answered 413.",
    ),
    cfg.IntOpt(
        "max_limit",
        default=1000,
        min=1,
        max=100000,
        help="Most entries of a list in one answer, whatever `limit` the client asks for.",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    register_in(conf, GROUP, OPTS)
