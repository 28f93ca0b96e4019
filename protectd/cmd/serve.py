"""HTTP for standalone: waitress on one socket, in the thread that calls it, until it is told to stop."""

from __future__ import annotations

import socket
import threading
import time
from http import HTTPStatus
from typing import Any, ClassVar

import orjson
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import create_server
from waitress.task import ErrorTask

from protectd.api import faults
from protectd.common.errors import ConfigurationError, ProtectdError
from protectd.common.units import MIB

LOOK_S = 0.25
DRAIN_S = 2.0
IDLE_S = 60
BODY_BYTES = 64 * MIB
"""Above the pipeline's own limit, whose answer is the better one; what is larger is not even taken in."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on one address; port 0 takes a free one.

    :raises ConfigurationError: the address is not this host's, or in use.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(where=f"cannot listen on {host}:{port}", reason=reason) from error


class Server:
    """Serves `app` on `sock`. `run` returns after `stop` was set and what had been asked is answered."""

    def __init__(self, app: Any, sock: socket.socket, *, threads: int, stop: threading.Event) -> None:
        self._map: dict[int, Any] = {}
        self._stop = stop
        self._server = create_server(
            app,
            map=self._map,
            sockets=[sock],
            threads=threads,
            ident="protectd",
            channel_timeout=IDLE_S,
            max_request_body_size=BODY_BYTES,
        )
        self._server.channel_class = Channel

    def run(self) -> None:
        while not self._stop.is_set():
            self._turn()
        self._drain()
        self._server.task_dispatcher.shutdown(timeout=1)
        self._server.close()

    def _turn(self) -> None:
        wasyncore.loop(timeout=LOOK_S, use_poll=True, map=self._map, count=1)

    def _drain(self) -> None:
        deadline = time.monotonic() + DRAIN_S
        while self._busy() and time.monotonic() < deadline:
            self._turn()

    def _busy(self) -> bool:
        channels = list(self._server.active_channels.values())
        return any(channel.requests or channel.total_outbufs_len for channel in channels)


class FaultTask(ErrorTask):  # type: ignore[misc]
    """What cannot be read as HTTP gets the one fault body, too."""

    def execute(self) -> None:
        error = _as_error(self.request.error)
        body = orjson.dumps(faults.body(error, ""))
        self.status = f"{error.status} {HTTPStatus(error.status).phrase}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class Channel(HTTPChannel):  # type: ignore[misc]
    error_task_class = FaultTask


class UnreadableRequest(ProtectdError):
    """The server gave up on a request before any application saw it."""

    code = "request.unreadable"
    message = "{reason}"
    status: ClassVar[int] = 400


class OversizedHeaders(UnreadableRequest):
    status = 431


class OversizedBody(UnreadableRequest):
    status = 413
    code = "too_large"


class UnknownCoding(UnreadableRequest):
    status = 501


def _as_error(error: Any) -> ProtectdError:
    for kind in (UnreadableRequest, OversizedHeaders, OversizedBody, UnknownCoding):
        if kind.status == error.code:
            return kind(reason=str(error.body))
    return ProtectdError()
