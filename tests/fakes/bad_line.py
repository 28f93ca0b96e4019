"""A bad line to a good server: a proxy for plain HTTP that does harm when a test tells it to."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Harm(Enum):
    """What may happen to a request; a number in its place is the status that is answered."""

    RESET = "the connection breaks before the server hears of it"
    RESET_AFTER = "the server does it, and the answer is lost"
    HALF = "the answer breaks off in the middle of its body"
    SHORT = "an answer that says it is whole has half of the body"
    HANG = "nothing comes back"
    STALE = "the first answer to the same request is given again"


Judge = Callable[[str, str], Harm | int | None]
"""Decides on a request by its method and path."""


@dataclass
class BadLine:
    """:ivar url: of the proxy.
    :ivar judge: asked for each request; None lets it pass.
    :ivar seen: methods and paths of all requests.
    """

    url: str
    judge: Judge = lambda method, path: None
    seen: list[tuple[str, str]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def fail(self, harm: Harm | int, times: int, *methods: str) -> None:
        """Harm the next requests, of these methods only if any are named."""
        left = times

        def judge(method: str, path: str) -> Harm | int | None:
            nonlocal left
            if left and (not methods or method in methods):
                left -= 1
                return harm
            return None

        self.seen.clear()
        self.judge = judge

    def methods(self) -> list[str]:
        return [method for method, _ in self.seen]


@contextmanager
def bad_line(target: str) -> Iterator[BadLine]:
    """:param target: URL of the server; only its host and port count."""
    line = BadLine("")
    place = urlsplit(target)
    assert place.hostname and place.port

    class Handler(_Handler):
        host, port = place.hostname, place.port
        made_for = line
        kept: dict[str, tuple[http.client.HTTPResponse, bytes]] = {}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    line.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield line
    finally:
        line.over.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    host: str | None
    port: int | None
    made_for: BadLine
    kept: dict[str, tuple[http.client.HTTPResponse, bytes]]

    def _work(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        line = self.made_for
        line.seen.append((self.command, self.path))
        harm = line.judge(self.command, self.path)
        if isinstance(harm, int):
            self._answer(harm, {}, b"<html>no</html>")
        elif harm is Harm.RESET:
            self._reset()
        elif harm is Harm.HANG:
            line.over.wait(60)
            self.close_connection = True
        else:
            self._pass_on(body, harm)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PROPFIND = do_MKCOL = do_MOVE = _work

    def _pass_on(self, body: bytes, harm: Harm | None) -> None:
        response, content = self._asked(body)
        self.kept.setdefault(f"{self.command} {self.path}", (response, content))
        if harm is Harm.STALE:
            response, content = self.kept[f"{self.command} {self.path}"]
        headers = {name: value for name, value in response.getheaders() if name.lower() not in _HOP_BY_HOP}
        if harm is Harm.RESET_AFTER:
            self._reset()
            return
        length = int(response.getheader("Content-Length") or len(content))
        if harm is Harm.HALF:
            self._answer(response.status, headers, content[: len(content) // 2], len(content))
            self._reset()
        elif harm is Harm.SHORT:
            self._answer(response.status, headers, content[: len(content) // 2])
        else:
            self._answer(response.status, headers, content, length)

    def _asked(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        """With the same Host header, which may be signed."""
        connection = http.client.HTTPConnection(self.host or "", self.port, timeout=60)
        try:
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def _answer(
        self, status: int, headers: dict[str, str], content: bytes, length: int | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _reset(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def handle(self) -> None:
        """A client that goes away in its turn is no news."""
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


_HOP_BY_HOP = frozenset(("content-length", "transfer-encoding", "connection", "keep-alive"))
