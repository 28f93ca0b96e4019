"""One HTTP/1.1 connection that costs little: on a machine that servers and clients share, what a client
computes is taken from the servers."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

PATIENCE_S = 120.0
IDLE_S = 1.0
_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Request:
    """:ivar body: JSON; None: there is none."""

    path: str
    headers: Mapping[str, str]
    body: Any = None
    method: str = "POST"

    def packed(self, host: str) -> bytes:
        """As it goes over the line."""
        body = b"" if self.body is None else json.dumps(self.body).encode()
        headers = {"Host": host, "Accept": "application/json", **self.headers}
        if body:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{self.method} {self.path} HTTP/1.1\r\n{head}\r\n".encode() + body


class Line:
    """Made anew where the server has ended it, and after a pause: servers end those that are idle."""

    def __init__(self, endpoint: str) -> None:
        place = urlsplit(endpoint)
        self._address = (str(place.hostname), place.port or 80)
        self._host = place.netloc
        self._socket: socket.socket | None = None
        self._used_s = 0.0
        self._last: tuple[Request, bytes] | None = None

    def ask(self, request: Request) -> tuple[dict[str, str], bytes]:
        """Headers by lower-case name, and body. Only 2xx is an answer."""
        line = self._opened()
        line.sendall(self._pack(request))
        head, _, body = _until_end(line)
        status, *rest = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in rest)}
        wanted = int(headers.get("content-length", 0))
        while len(body) < wanted:
            body += _received(line)
        if status.split(" ")[1][0] != "2":
            raise RuntimeError(f"{request.method} {request.path}: {status} {body[:500]!r}")
        if headers.get("connection", "").lower() == "close":
            self.close()
        return headers, body

    def post(self, request: Request) -> str:
        """:returns: the id of what was made: the end of its Location."""
        return self.ask(request)[0]["location"].rpartition("/")[2]

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _opened(self) -> socket.socket:
        now_s = time.monotonic()
        if now_s - self._used_s > IDLE_S:
            self.close()
        self._used_s = now_s
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=PATIENCE_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def _pack(self, request: Request) -> bytes:
        if self._last is None or self._last[0] is not request:
            self._last = request, request.packed(self._host)
        return self._last[1]


def _until_end(line: socket.socket) -> tuple[bytes, bytes, bytes]:
    """The head of an answer, and what of its body came with it."""
    data = b""
    while _END not in data:
        data += _received(line)
    return data.partition(_END)


def _received(line: socket.socket) -> bytes:
    data = line.recv(65536)
    if not data:
        raise RuntimeError("the server ended a connection in the middle of an answer")
    return data
