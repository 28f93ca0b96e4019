"""Logging of a process: one line an event, on standard error or in a file, as text or as JSON."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from contextlib import suppress
from logging.handlers import WatchedFileHandler
from typing import IO, TYPE_CHECKING, Any

from protectd.common import trail

if TYPE_CHECKING:  # the vault's processes log, too, and need no options
    from oslo_config import cfg

LINE = "%(asctime)s.%(msecs)03dZ %(levelname)s %(process)d %(name)s: %(message)s"
TIME = "%Y-%m-%dT%H:%M:%S"
TRAIL = ("request_id", "task_id", "operation")
"""What a line may be about; in JSON each is there, null where it is about none."""

QUIET = (
    "alembic",
    "amqp",
    "keystonemiddleware",
    "kombu",
    "oslo.messaging",
    "oslo_messaging",
    "protectd.model.engine._Pool",
    "stevedore",
    "waitress.queue",
)
"""Libraries whose ordinary days are nobody's news; the pool logs under the name of our class."""


class TrailFilter(logging.Filter):
    """Puts what the thread is about just now on each record, whichever library it is from."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.trail = dict(trail.names())
        return True


class TextLines(logging.Formatter):
    """For people. What the line is about stands in brackets, unless the message says it itself."""

    def __init__(self) -> None:
        super().__init__(LINE, datefmt=TIME)
        self.converter = time.gmtime

    def formatMessage(self, record: logging.LogRecord) -> str:
        said, about = record.message, getattr(record, "trail", {})
        missing = [about[name] for name in TRAIL if name in about and about[name] not in said]
        line = super().formatMessage(record)
        return f"{line} [{' '.join(missing)}]" if missing else line


class JsonLines(logging.Formatter):
    """For programs: an object a line, in ASCII, whatever is in the message."""

    def __init__(self, service: str) -> None:
        super().__init__(datefmt=TIME)
        self.converter = time.gmtime
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": f"{self.formatTime(record, TIME)}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "service": self._service,
            "process": record.process,
            "thread": record.threadName,
            **dict.fromkeys(TRAIL),
            **getattr(record, "trail", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class LogFile(WatchedFileHandler):
    """Several processes append to it, and whichever first finds it moved away makes the new one: private to
    owner and group, also where that process has no umask."""

    _told: str | None = None

    def _open(self) -> IO[str]:  # type: ignore[override]
        return open(self.baseFilename, self.mode, encoding="utf-8", opener=_private)

    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk is told in one line where the process was started, not as a traceback for each."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        reason = error.strerror or type(error).__name__
        if reason != self._told and sys.stderr is not None:
            with suppress(OSError):
                print(f"{self.baseFilename} cannot be written: {reason}", file=sys.stderr, flush=True)
        self._told = reason


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o640)


def start_logging(*, debug: bool, log_file: str = "", log_format: str = "text", service: str = "") -> None:
    """Send the log of this process to `log_file`, or to standard error when it is empty. Times are UTC.

    :param log_format: `text` or `json`. :param service: the name of the command, for JSON.
    """
    handler: logging.Handler = LogFile(log_file) if log_file else logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(service) if log_format == "json" else TextLines())
    handler.addFilter(TrailFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    logging.captureWarnings(True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.INFO if debug else logging.WARNING)


def log_options(conf: cfg.ConfigOpts, binary: str) -> dict[str, Any]:
    """What `start_logging` is to be told for a daemon, and for the processes it starts."""
    return {
        "debug": conf.debug,
        "log_file": conf.log_file,
        "log_format": conf.log_format,
        "service": binary,
    }


def begin_logging(conf: cfg.ConfigOpts, binary: str) -> None:
    """As the configuration of a daemon says."""
    start_logging(**log_options(conf, binary))
