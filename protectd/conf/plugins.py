"""[plugins]: what may be loaded. An installed package alone changes nothing."""

from __future__ import annotations

from oslo_config import cfg

from protectd.conf.groups import register_in

GROUP = cfg.OptGroup("plugins", title="Plug-ins that may be loaded")

OPTS = [
    cfg.ListOpt(
        "allowed_banks",
        default=["filesystem", "memory", "s3", "swift", "azure", "gcs", "webdav", "rest"],
        help="Banks that providers may name.",
    ),
    cfg.ListOpt(
        "allowed_protections", default=["directory"], help="Protection plug-ins that providers may name."
    ),
    cfg.ListOpt(
        "allowed_protectables",
        default=["directory"],
        help="Protectables that `[protectables] enabled` may name.",
    ),
    cfg.ListOpt(
        "allowed_secret_stores", default=["crypto", "pkcs11"], help="Stores that `[secrets] store` may name."
    ),
    cfg.ListOpt(
        "allowed_handlers", default=["default", "noop"], help="Handlers that `[dispatch] handler` may name."
    ),
    cfg.ListOpt(
        "allowed_auth",
        default=["token", "noauth", "keystone"],
        help="Authentication that `auth_strategy` may name.",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    register_in(conf, GROUP, OPTS)
