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
        "service_project_id",
        default="00000000-0000-4000-8000-000000000000",
        help="Project that owns the service's own secrets; no tenant has it.",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    register_in(conf, GROUP, OPTS)
