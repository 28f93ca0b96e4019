"""[vault]: the backup data engine."""

from __future__ import annotations

from oslo_config import cfg

from protectd.conf.groups import register_in

GROUP = cfg.OptGroup("vault", title="Backup data engine")

OPTS = [
    cfg.IntOpt(
        "workers",
        default=0,
        min=0,
        max=256,
        help="Processes that hash, compress and seal; 0: one a core.",
    ),
    cfg.IntOpt(
        "pack_mib",
        default=16,
        min=4,
        max=128,
        help="Size of an object in the bank in MiB. Larger ones are fewer; each worker holds two in memory.",
    ),
    cfg.IntOpt(
        "compression_level",
        default=1,
        min=1,
        max=19,
        help="Level of zstandard. Above 3 it is slower than most disks and saves little.",
    ),
    cfg.FloatOpt(
        "lock_wait_s",
        default=60,
        min=0,
        max=86400,
        help="Seconds to wait for another program's lock on a vault before the task is put off.",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    register_in(conf, GROUP, OPTS)
