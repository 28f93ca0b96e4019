"""protectd-engine: fires triggers, sends what was not sent, hands over tasks whose worker was lost."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from protectd.cmd import arguments
from protectd.cmd.build import parts
from protectd.cmd.door import guarded
from protectd.cmd.logs import begin_logging
from protectd.cmd.metrics import Exposition
from protectd.cmd.signals import Ending
from protectd.cmd.systemd import Notifier, Watchdog

LOG = logging.getLogger("protectd.cmd.engine")

BINARY = "protectd-engine"
END_S = 9.5


def run(argv: Sequence[str] | None = None) -> int:
    parser = arguments.parser(
        BINARY,
        "Fire triggers, send tasks that were not sent, and hand over those whose worker was lost.",
    )
    arguments.add_state_dir(parser)
    conf = arguments.settings(parser.parse_args(argv))
    ending = Ending(END_S)
    notifier = Notifier.taken()
    begin_logging(conf, BINARY)
    with parts(conf, BINARY, exposition=Exposition(conf, BINARY)) as made:
        made.check_schema()
        made.engine.start()
        made.firing_service.start()
        made.heartbeat.start()
        LOG.info("looking every %g s", conf.engine.poll_interval_s)
        notifier.ready("looking")
        ending.wait(Watchdog(notifier, made.pulses).look)
        notifier.stopping()
        LOG.info("ending")
        made.firing_service.stop(ending.left_s() / 3)
        made.engine.stop(ending.left_s() / 2)
    LOG.info("ended")
    return 0


def main() -> int:
    return guarded(BINARY, run)


if __name__ == "__main__":
    sys.exit(main())
