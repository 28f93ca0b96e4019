"""gunicorn's threads, with the one fault body for what they cannot read."""

from __future__ import annotations

import re
import socket
import time
from contextlib import suppress
from typing import Any

from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from protectd.cmd.unreadable import refusal

STATUSES: dict[type[Exception], int] = {
    errors.LimitRequestLine: 414,
    errors.LimitRequestHeaders: 431,
    errors.UnsupportedTransferCoding: 501,
}
"""What is not 400."""


ARRIVAL_S = 10.0
"""A request that is not there whole by then is read no further. Longer than 1 MiB takes on a slow line."""


class Worker(ThreadWorker):  # type: ignore[misc]
    """Its threads are few, and a client that stalls in a request would keep one: each has a limit of time to
    arrive in. Whoever expects many such clients puts a buffering proxy in front."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._arriving: dict[Any, float] = {}

    def handle(self, conn: Any) -> Any:
        self._arriving[conn] = time.monotonic() + ARRIVAL_S
        try:
            return super().handle(conn)
        finally:
            del self._arriving[conn]

    def murder_keepalived(self, *args: Any, **kwargs: Any) -> None:
        """Called about once a second by the loop that accepts."""
        super().murder_keepalived(*args, **kwargs)
        now = time.monotonic()
        for conn, limit in list(self._arriving.items()):
            if limit < now:
                with suppress(OSError):  # it may have gone; an answer can still be sent if it has not
                    conn.sock.shutdown(socket.SHUT_RD)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Errors of the application never come here: its outermost filter answers them."""
        status = _status(exc)
        if status is None:
            super().handle_error(req, client, addr, exc)
            return
        answer = refusal(status, _words(exc))
        answer.headers["Connection"] = "close"
        head = "".join(f"{name}: {value}\r\n" for name, value in answer.headerlist)
        try:
            client.sendall(f"HTTP/1.1 {answer.status}\r\n{head}\r\n".encode("latin-1") + answer.body)
        except OSError:
            self.log.debug("a client left before it was refused")


def _status(error: Exception) -> int | None:
    """None: the error is not about the request."""
    if type(error).__name__ == "ExpectationFailed":  # younger than the oldest gunicorn that will do
        return 417
    if isinstance(error, errors.ConfigurationProblem) or not isinstance(error, errors.ParseException):
        return None
    return STATUSES.get(type(error), 400)


def _words(error: Exception) -> str:
    """What kind of error it is. Its own text may quote a header, and so a token."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
