"""protectd-api: the REST API under gunicorn."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from oslo_config import cfg

from protectd.cmd import arguments, readiness
from protectd.cmd.arbiter import Arbiter, Call, Log
from protectd.cmd.build import Parts, parts
from protectd.cmd.door import guarded
from protectd.cmd.logs import begin_logging
from protectd.cmd.metrics import Exposition
from protectd.cmd.systemd import Notifier
from protectd.cmd.threads import Worker

BINARY = "protectd-api"
IDLE_S = 5


class Service(BaseApplication):  # type: ignore[misc]
    """Each of gunicorn's processes builds parts of its own, after the fork."""

    def __init__(self, conf: cfg.ConfigOpts, exposition: Exposition, notifier: Notifier) -> None:
        self._conf = conf
        self._exposition = exposition
        self._notifier = notifier
        self._serving = Call()
        self._parts: Parts | None = None
        super().__init__()

    def load_config(self) -> None:
        api = self._conf.api
        host = f"[{api.bind_host}]" if ":" in api.bind_host else api.bind_host
        settings = {
            "bind": [f"{host}:{api.bind_port}"],
            "workers": api.workers,
            "worker_class": Worker,
            "threads": api.threads,
            "keepalive": IDLE_S,
            "graceful_timeout": max(1, int(self._conf.tasks.stop_grace_s)),
            "timeout": max(60, int(self._conf.dispatch.direct_timeout_s) + 30),
            "proc_name": BINARY,
            "accesslog": None,
            "errorlog": "-",
            "logger_class": Log,
            "loglevel": "debug" if self._conf.debug else "info",
            "forwarded_allow_ips": "*" if api.trust_forwarded else "",
            "worker_exit": self._end,
            "child_exit": lambda server, worker: self._exposition.process_ended(worker.pid),
        }
        if "control_socket_disable" in self.cfg.settings:
            settings["control_socket_disable"] = True  # a door in the home directory that nobody asked for
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        begin_logging(self._conf, BINARY)
        self._parts = Parts(self._conf, BINARY, exposition=self._exposition)
        application = self._parts.application()
        self._parts.heartbeat.start()
        readiness.rehearse(self._parts)
        readiness.settle()
        self._serving.say()
        return application

    def run(self) -> None:
        Arbiter(self, self._notifier, self._serving).run()

    def _end(self, server: object, worker: object) -> None:
        if self._parts is not None:
            self._parts.close()


def check(conf: cfg.ConfigOpts) -> None:
    """What would fail in every process fails once, before there is one, as one sentence."""
    with parts(conf, BINARY) as made:
        made.check_address(conf.api.bind_host)
        made.check_schema()
        made.application()


def run(argv: Sequence[str] | None = None) -> int:
    parser = arguments.parser(BINARY, "Serve the REST API; [api] of the configuration says where.")
    arguments.add_state_dir(parser)
    conf = arguments.settings(parser.parse_args(argv))
    notifier = Notifier.taken()
    begin_logging(conf, BINARY)
    check(conf)
    exposition = Exposition(conf, BINARY)
    exposition.share(Path(conf.state_dir))
    Service(conf, exposition, notifier).run()
    return 0


def main() -> int:
    return guarded(BINARY, run)


if __name__ == "__main__":
    sys.exit(main())
