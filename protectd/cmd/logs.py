"""Logging of a process: one line an event, on standard error or in a file."""

from __future__ import annotations

import logging
import sys
import time
from logging.handlers import WatchedFileHandler

LINE = "%(asctime)s.%(msecs)03dZ %(levelname)s %(process)d %(name)s: %(message)s"
QUIET = (
    "alembic",
    "amqp",
    "kombu",
    "oslo.messaging",
    "oslo_messaging",
    "protectd.model.engine._Pool",
    "stevedore",
    "waitress.queue",
)
"""Libraries whose ordinary days are nobody's news; the pool logs under the name of our class."""


def start_logging(*, debug: bool, log_file: str = "") -> None:
    """Send the log of this process to `log_file`, or to standard error when it is empty. Times are UTC."""
    handler: logging.Handler = WatchedFileHandler(log_file) if log_file else logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter(LINE, datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.INFO if debug else logging.WARNING)
