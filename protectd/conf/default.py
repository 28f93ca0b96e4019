"""[DEFAULT]: who this process is and where it keeps its things."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from oslo_config import cfg

TITLE = "What every process needs to know"


def xdg_state_directory() -> str:
    """`$XDG_STATE_HOME/protectd`, by default `~/.local/state/protectd`."""
    base = os.environ.get("XDG_STATE_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".local" / "state"
    return str(root / "protectd")


OPTS = [
    cfg.StrOpt(
        "host",
        default=socket.gethostname(),
        sample_default="<the name of this host>",
        help="""
Name of this host. Directories belong to the host that has them, and only a worker with the same name
protects and restores them. Keep it for as long as the data is there.
""",
    ),
    cfg.StrOpt(
        "state_dir",
        default=xdg_state_directory(),
        sample_default="<the XDG state directory>/protectd",
        help="""
Directory of the service's own files: database, bank and master key, unless other options put them
elsewhere. Only its owner may read it. It is never protected nor restored to.
""",
    ),
    cfg.StrOpt(
        "auth_strategy",
        default="token",
        choices=["token", "noauth", "keystone"],
        help="""
Which pipeline of the paste file serves: `token` asks for a token made by `protectd-manage token
create`; `keystone` for one of the Keystone that [keystone_authtoken] says how to reach, and needs the extra
`keystone` of the package; `noauth` believes everyone who reaches the port, and so binds loopback only.
""",
    ),
    cfg.StrOpt(
        "provider_config_dir",
        default="",
        sample_default="<the shipped providers.d>",
        help="""
Directory with one file (*.conf) for each provider: its bank, its protection plug-ins and the
directories that each project may protect and restore to.
""",
    ),
    cfg.IntOpt(
        "report_interval_s",
        default=10,
        min=1,
        max=3600,
        help="Seconds between two heartbeats of a process in the table of services.",
    ),
    cfg.FloatOpt(
        "service_down_time_s",
        default=60,
        min=1,
        max=86400,
        help="""
Seconds without a heartbeat after which a service counts as down: several times `report_interval_s`.
""",
    ),
    cfg.BoolOpt("debug", default=False, help="Log every step, not only events that an operator acts on."),
    cfg.StrOpt(
        "log_format",
        default="text",
        choices=["text", "json"],
        help="""
`text` for people; `json` is one object a line with time, level, logger, message, service, process, thread,
request_id, task_id and operation.
""",
    ),
    cfg.StrOpt(
        "log_file",
        default="",
        help="File to append the log to; empty: standard error. It may be moved away: a new one is begun.",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    conf.register_opts(OPTS)
