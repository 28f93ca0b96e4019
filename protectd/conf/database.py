"""[database]: where rows are kept."""

from __future__ import annotations

from oslo_config import cfg

from protectd.conf.groups import register_in

GROUP = cfg.OptGroup("database", title="Database")

OPTS = [
    cfg.StrOpt(
        "connection",
        default="sqlite:///$state_dir/protectd.db",
        secret=True,
        help="""
SQLAlchemy URL: `postgresql+psycopg://user:password@host/name`,
`mysql+pymysql://user:password@host/name`, or a SQLite file for a single host. `protectd-manage db
upgrade` brings its tables up to date.
""",
    ),
    cfg.IntOpt(
        "pool_size",
        default=10,
        min=1,
        max=1000,
        help="""
Connections each process keeps open. With fewer than `[api] threads`, a busy API makes some anew for each
request.
""",
    ),
    cfg.IntOpt(
        "max_overflow",
        default=5,
        min=0,
        max=1000,
        help="Connections each process may open beyond `pool_size` for a short time.",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    register_in(conf, GROUP, OPTS)
