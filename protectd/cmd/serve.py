"""HTTP for standalone: waitress on one socket."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import create_server
from waitress.task import ErrorTask

from protectd.cmd.unreadable import refusal
from protectd.common.errors import ConfigurationError
from protectd.common.units import MIB

LOOK_S = 0.25
DRAIN_S = 2.0
IDLE_S = 10
ARRIVAL_S = 10.0
"""A request that is not there whole by then is given up. Longer than 1 MiB takes on a slow line."""

CONNECTIONS = 500
"""As many clients may stall before others have to wait until one of the above is over."""

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
    """Serves `app` on `sock`, in the thread that calls `run`."""

    def __init__(self, app: Any, sock: socket.socket, *, threads: int) -> None:
        self._map: dict[int, Any] = {}
        self._server = create_server(
            app,
            map=self._map,
            sockets=[sock],
            threads=threads,
            ident="protectd",
            server_name=str(sock.getsockname()[0]),
            channel_timeout=IDLE_S,
            cleanup_interval=1,
            connection_limit=CONNECTIONS,
            max_request_body_size=BODY_BYTES,
        )
        self._server.channel_class = Channel

    def run(self, stop: Callable[[], bool]) -> None:
        """Serve until `stop` says so; it is asked several times a second."""
        while not stop():
            self._turn()

    def close(self) -> None:
        """Answer what was asked, within limits, and let go of the port."""
        deadline = time.monotonic() + DRAIN_S
        while self._busy() and time.monotonic() < deadline:
            self._turn()
        self._server.task_dispatcher.shutdown(timeout=1)
        self._server.close()

    def _turn(self) -> None:
        wasyncore.loop(timeout=LOOK_S, use_poll=True, map=self._map, count=1)

    def _busy(self) -> bool:
        channels = list(self._server.active_channels.values())
        return any(channel.requests or channel.total_outbufs_len for channel in channels)


class FaultTask(ErrorTask):  # type: ignore[misc]
    """What cannot be read as HTTP gets the one fault body, too."""

    def execute(self) -> None:
        answer = refusal(self.request.error.code, str(self.request.error.body))
        self.status = answer.status
        self.response_headers.extend(
            (name, value) for name, value in answer.headerlist if name != "Content-Length"
        )
        self.set_close_on_finish()
        self.content_length = len(answer.body)
        self.write(answer.body)


class Channel(HTTPChannel):  # type: ignore[misc]
    """Has a limit of time for a request to arrive in; while an earlier one is answered, it waits."""

    error_task_class = FaultTask
    _begun_s = 0.0

    def received(self, data: bytes) -> bool:
        if self.request is None:
            self._begun_s = time.monotonic()
        return bool(super().received(data))

    def readable(self) -> bool:
        """Asked at every turn of the loop."""
        late = self.request is not None and time.monotonic() - self._begun_s > ARRIVAL_S
        if late and not self.requests:
            self.will_close = True
        return bool(super().readable())
