"""protectd-worker: does the tasks of this host, and those that any host may do."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from protectd.cmd import arguments, readiness
from protectd.cmd.build import Parts, parts
from protectd.cmd.door import guarded
from protectd.cmd.logs import begin_logging
from protectd.cmd.metrics import Exposition
from protectd.cmd.signals import Ending
from protectd.cmd.systemd import Notifier, Watchdog

LOG = logging.getLogger("protectd.cmd.worker")

BINARY = "protectd-worker"
SPARE_S = 1.5
LISTENING_S = 3.0
"""A broker that is away longer does not keep the machine from starting."""


def run(argv: Sequence[str] | None = None) -> int:
    parser = arguments.parser(
        BINARY, "Take tasks from the queue and do them: protect, restore, verify, delete, prune."
    )
    arguments.add_state_dir(parser)
    conf = arguments.settings(parser.parse_args(argv))
    os.umask(0o077)
    ending = Ending(conf.tasks.stop_grace_s + SPARE_S)
    notifier = Notifier.taken()
    begin_logging(conf, BINARY)
    with parts(conf, BINARY, exposition=Exposition(conf, BINARY)) as made:
        made.take_boot()
        check(made)
        work(made, ending, notifier)
    LOG.info("ended")
    return 0


def check(made: Parts) -> None:
    """What would fail with the first task fails now."""
    made.check_schema()
    LOG.info("%d providers, secret stores %s", len(made.providers), ", ".join(made.stores))


def work(made: Parts, ending: Ending, notifier: Notifier) -> None:
    made.fence_former_boot()
    made.clear_scratch()
    made.task_server.start()
    made.heartbeat.start()
    made.warm_up()
    listening = made.task_server.wait_until_listening(LISTENING_S)
    readiness.settle()
    notifier.ready("listening" if listening else "waiting for the broker")
    ending.wait(Watchdog(notifier, made.pulses).look)
    notifier.stopping()
    LOG.info("ending")
    if not made.task_server.stop(max(0.5, ending.left_s() - SPARE_S)):
        LOG.warning("tasks were still running; other workers take them over when their leases end")


def main() -> int:
    return guarded(BINARY, run)


if __name__ == "__main__":
    sys.exit(main())
