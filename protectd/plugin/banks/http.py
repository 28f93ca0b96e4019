"""HTTP for banks that speak a protocol of their own: one try a call, and only the contract's errors."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import urllib3

from protectd.common.units import KIB, MIB
from protectd.plugin.banks.credentials import Login
from protectd.plugin.banks.http_errors import translated
from protectd.plugin.banks.ranges import Part
from protectd.plugin.base import BankUnavailable, Buffer

Headers = Mapping[str, str]

_SEND_BYTES = 256 * KIB
_READ_BYTES = MIB
_DRAIN_BYTES = 64 * KIB
_CONNECTIONS = 32


class Answer:
    """The answer to one request; its body is read once, forward."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self.status = response.status
        self.headers: Headers = response.headers
        self._response = response

    def read(self, part: Part | None = None) -> bytes:
        """:param part: of the body; None for all of it.
        :raises BankUnavailable: the connection broke before the end.
        """
        if part is None:
            with translated():
                return self._response.read(decode_content=False)
        data = bytearray(part.size)
        self.fill(memoryview(data), part)
        return bytes(data)

    def fill(self, view: memoryview, part: Part) -> int:
        """:param view: of bytes, as long as the part or longer.
        :raises BankUnavailable: the connection broke before the end.
        """
        self._skip(part.skip)
        done = 0
        while done < part.size:
            piece = self._piece(min(_READ_BYTES, part.size - done))
            view[done : done + len(piece)] = piece
            done += len(piece)
        return done

    def _skip(self, count: int) -> None:
        while count:
            count -= len(self._piece(min(_READ_BYTES, count)))

    def _piece(self, size: int) -> bytes:
        with translated():
            piece = self._response.read(size, decode_content=False)
        if not piece:
            raise BankUnavailable(reason="the answer was cut short")
        return piece

    def finish(self) -> None:
        """Keep the connection where little is left to be read."""
        left = self._response.length_remaining
        if left is not None and left <= _DRAIN_BYTES:
            self._response.drain_conn()
            self._response.release_conn()
        else:
            self._response.close()

    def abandon(self) -> None:
        self._response.close()


class HttpClient:
    """Connections that are kept open between requests. Thread safe; a copy in another process has its own.

    :param timeout_s: for connecting, and for each wait for the server to take or to send something.
    :param ca_file: certificates that are trusted; "" for those of the system.
    """

    def __init__(self, timeout_s: float, ca_file: str = "") -> None:
        self._timeout_s = timeout_s
        self._ca_file = ca_file
        self._lock = threading.Lock()
        self._pool: urllib3.PoolManager | None = None

    def __reduce__(self) -> tuple[type[Self], tuple[float, str]]:
        return type(self), (self._timeout_s, self._ca_file)

    @contextmanager
    def ask(
        self, method: str, url: str, headers: Headers | None = None, body: Buffer | None = None
    ) -> Iterator[Answer]:
        """Send one request; no redirect is followed.

        :raises BankUnavailable: no answer, or not in time.
        :raises BankRefused: the server is not who it says it is.
        """
        with translated():
            answer = Answer(self._send(method, url, dict(headers or {}), body))
        try:
            yield answer
        except BaseException:
            answer.abandon()
            raise
        answer.finish()

    def _send(
        self, method: str, url: str, headers: dict[str, str], body: Buffer | None
    ) -> urllib3.BaseHTTPResponse:
        pieces: Iterator[memoryview] | None = None
        if body is not None:
            view = memoryview(body).cast("B")
            headers["Content-Length"] = str(len(view))
            pieces = _pieces(view)
        return self._manager().request(
            method,
            url,
            body=pieces,  # type: ignore[arg-type]  # any iterable of buffers will do
            headers={"User-Agent": "protectd", "Accept-Encoding": "identity", **headers},
            retries=False,
            redirect=False,
            preload_content=False,
        )

    def _manager(self) -> urllib3.PoolManager:
        with self._lock:
            if self._pool is None:
                self._pool = urllib3.PoolManager(maxsize=_CONNECTIONS, **self._options())
            return self._pool

    def _options(self) -> dict[str, Any]:
        timeout = urllib3.Timeout(connect=self._timeout_s, read=self._timeout_s)
        return {"timeout": timeout, "ca_certs": self._ca_file or None}


def basic(login: Login) -> dict[str, str]:
    """The header that signs in, if there is someone to sign in."""
    if not login:
        return {}
    pair = f"{login.username}:{login.password.read()}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _pieces(view: memoryview) -> Iterator[memoryview]:
    """Sent one by one, each has the whole time-out: a slow line is no dead one."""
    for start in range(0, len(view), _SEND_BYTES):
        yield view[start : start + _SEND_BYTES]
