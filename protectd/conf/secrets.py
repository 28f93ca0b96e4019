"""[secrets]: how the service keeps its own secrets."""

from __future__ import annotations

from oslo_config import cfg

from protectd.conf.groups import register_in

GROUP = cfg.OptGroup("secrets", title="Secrets at rest")

OPTS = [
    cfg.StrOpt("store", default="crypto", help="Plug-in that seals secrets."),
    cfg.StrOpt(
        "master_key_file",
        default="$state_dir/master.key",
        help="""
File with the key that seals every other secret; mode 0600. `protectd-manage secrets create-master-key`
makes one. Keep a copy elsewhere: without it no vault opens.
""",
    ),
    cfg.StrOpt(
        "pkcs11_library",
        default="",
        help="Store pkcs11: library of the security module, such as /usr/lib/softhsm/libsofthsm2.so.",
    ),
    cfg.StrOpt("pkcs11_token", default="", help="Store pkcs11: label of the token with the master keys."),
    cfg.StrOpt("pkcs11_pin_file", default="", help="Store pkcs11: file with the user's PIN; mode 0600."),
    cfg.StrOpt(
        "pkcs11_key_label",
        default="protectd",
        help="Store pkcs11: label of the master keys. `protectd-manage key rotate` makes the first one, too.",
    ),
    cfg.StrOpt(
        "service_project_id",
        default="00000000-0000-4000-8000-000000000000",
        help="Project that owns the service's own secrets; no tenant has it.",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    register_in(conf, GROUP, OPTS)
