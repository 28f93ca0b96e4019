"""protectd-worker: does the tasks of this host, and those that any host may do."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from protectd.cmd import arguments
from protectd.cmd.build import Parts, parts
from protectd.cmd.door import guarded
from protectd.cmd.logs import start_logging
from protectd.cmd.signals import Ending

LOG = logging.getLogger("protectd.cmd.worker")

BINARY = "protectd-worker"
SPARE_S = 1.5


def run(argv: Sequence[str] | None = None) -> int:
    parser = arguments.parser(
        BINARY, "Take tasks from the queue and do them: protect, restore, verify, delete, prune."
    )
    arguments.add_state_dir(parser)
    conf = arguments.settings(parser.parse_args(argv))
    os.umask(0o077)
    ending = Ending(conf.tasks.stop_grace_s + SPARE_S)
    start_logging(debug=conf.debug, log_file=conf.log_file)
    with parts(conf, BINARY) as made:
        check(made)
        work(made, ending)
    LOG.info("ended")
    return 0


def check(made: Parts) -> None:
    """What would fail with the first task fails now."""
    made.check_schema()
    LOG.info("%d providers, secret store %s", len(made.providers), type(made.store).__name__)


def work(made: Parts, ending: Ending) -> None:
    made.task_server.start()
    made.heartbeat.start()
    made.warm_up()
    ending.wait()
    LOG.info("ending")
    if not made.task_server.stop(max(0.5, ending.left_s() - SPARE_S)):
        LOG.warning("tasks were still running; other workers take them over when their leases end")


def main() -> int:
    return guarded(BINARY, run)


if __name__ == "__main__":
    sys.exit(main())
