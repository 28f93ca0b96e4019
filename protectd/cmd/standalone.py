"""protectd: API, worker and engine in one process, on one state directory."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from oslo_config import cfg

from protectd.cmd import arguments, readiness, state
from protectd.cmd.build import Parts, parts
from protectd.cmd.door import guarded
from protectd.cmd.logs import begin_logging
from protectd.cmd.metrics import Exposition
from protectd.cmd.network import endpoint
from protectd.cmd.serve import Server, listen
from protectd.cmd.signals import Ending
from protectd.cmd.systemd import Notifier, Watchdog
from protectd.common.errors import ConfigurationError
from protectd.common.ids import new_id
from protectd.domain import tokens
from protectd.model import migrate
from protectd.model.models import Token
from protectd.model.repositories.base import Page
from protectd.plugin.secret_stores.master_keys import make_master_key

LOG = logging.getLogger("protectd.cmd.standalone")

BINARY = "protectd"
TOKEN_NAME = "standalone"
LISTENING_S = 10.0
WARM_S = 5.0
"""Processes that are being started take the cores from the first requests; longer than that, nobody waits."""

END_S = 9.5
SPARE_S = 1.5


def parser() -> argparse.ArgumentParser:
    made = arguments.parser(
        BINARY,
        "Run the whole data protection service in one process, in the foreground. Its database, bank and "
        "keys are in the state directory; credentials.json there says how to reach it.",
    )
    arguments.add_state_dir(made)
    made.add_argument("--host", metavar="ADDRESS", help="address (default: 127.0.0.1)")
    made.add_argument(
        "--port", type=int, metavar="N", help="port to listen on, 0 for a free one (default: 8799)"
    )
    return made


def configuration(argv: Sequence[str] | None) -> cfg.ConfigOpts:
    args = parser().parse_args(argv)
    conf = arguments.settings(args, system=False)
    if args.host is not None:
        conf.set_override("bind_host", args.host, group="api")
    if args.port is not None:
        if not 0 <= args.port <= 65535:
            raise ConfigurationError(where="--port", reason="it must be 0 to 65535")
        conf.set_override("bind_port", args.port, group="api")
    return conf


def run(argv: Sequence[str] | None = None) -> int:
    os.umask(0o077)
    ending = Ending(END_S)
    conf = configuration(argv)
    notifier = Notifier.taken()
    begin_logging(conf, BINARY)
    directory = Path(conf.state_dir)
    state.prepare(directory)
    lock = state.Lock(directory)
    lock.take()
    try:
        with parts(conf, BINARY, in_process=True, exposition=Exposition(conf, BINARY)) as made:
            made.take_boot()
            return serve(made, directory, ending, notifier)
    finally:
        lock.release()


def serve(made: Parts, directory: Path, ending: Ending, notifier: Notifier) -> int:
    """Everything, until the process is asked to end."""
    prepare(made)
    host = made.conf.api.bind_host
    application = made.application()
    with listen(host, made.conf.api.bind_port) as sock:
        url = endpoint(host, sock.getsockname()[1])
        server = Server(application, sock, threads=made.conf.api.threads)
        warm = made.warm_up()
        start_work(made)
        readiness.rehearse(made)
        readiness.wait_for(warm, WARM_S, ending.is_asked)
        readiness.settle()
        write_credentials(made, directory, url)
        LOG.info("serving at %s, state in %s", url, directory)
        notifier.ready(f"serving at {url}")
        server.run(turning(Watchdog(notifier, made.pulses), ending))
        notifier.stopping()
        LOG.info("ending")
        made.stopping.set()
        server.close()
        stop_work(made, ending.left_s() - SPARE_S)
    LOG.info("ended")
    return 0


def turning(watchdog: Watchdog, ending: Ending) -> Callable[[], bool]:
    """Whether to end, asked by the loop at each of its turns."""

    def asked() -> bool:
        watchdog.look()
        return ending.is_asked()

    return asked


def prepare(made: Parts) -> None:
    """Make what is missing: key, tables, bank."""
    made.check_address(made.conf.api.bind_host)
    for file in made.key_files:
        make_master_key(file)
    migrate.upgrade(made.database_url)
    for provider in made.providers:
        provider.bank.prepare()


def start_work(made: Parts) -> None:
    """Messages that a former boot has sent are lost with it, so all are sent anew."""
    made.task_server.start()
    made.task_server.wait_until_listening(LISTENING_S)
    made.fence_former_boot()
    made.clear_scratch()
    made.relay.resend_all()
    made.engine.start()
    made.firing_service.start()
    made.heartbeat.start()


def stop_work(made: Parts, grace_s: float) -> None:
    """Running tasks have been told to hand themselves back; wait for them, but not for ever."""
    made.firing_service.stop(1.0)
    made.engine.stop(1.0)
    if not made.task_server.stop(max(0.5, min(grace_s, made.conf.tasks.stop_grace_s))):
        LOG.warning("tasks were still running; the next start takes them over")


def write_credentials(made: Parts, directory: Path, url: str) -> None:
    """Keep the token that works; make one at the first start, or when it was revoked, expired or lost."""
    found = state.read_credentials(directory)
    project_id = str(found.get("project_id") or former_project(made) or new_id())
    text = working_token(made, str(found.get("token", "")), project_id)
    state.write_credentials(directory, {"endpoint": url, "token": text, "project_id": project_id})


def working_token(made: Parts, text: str, project_id: str) -> str:
    if made.auth.loopback_only:
        return f"admin:{project_id}"
    if is_good(made, text, project_id):
        return text
    with made.database.write() as uow:
        return tokens.issue(uow, project_id, "admin", ["admin"], None, made.clock.now(), name=TOKEN_NAME)


def is_good(made: Parts, text: str, project_id: str) -> bool:
    identity = tokens.Lookup(made.database, made.clock).by_digest(tokens.digest(text)) if text else None
    return identity is not None and identity.project_id == project_id


def former_project(made: Parts) -> str | None:
    """The project of the newest token that a start has made: its data is not to be lost with a file."""
    with made.database.read() as uow:
        found: list[Token] = uow.tokens.page(Page(limit=1), None, {"name": TOKEN_NAME})
        return found[0].project_id if found else None


def main() -> int:
    return guarded(BINARY, run)


if __name__ == "__main__":
    sys.exit(main())
