"""Brokers that answer badly, and a clean corner of a good one."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from uuid import uuid4

import amqp
import pytest

RABBIT_URL = "rabbit://guest:guest@127.0.0.1:5672/"


@contextmanager
def silent_broker() -> Iterator[str]:
    """The URL of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []
        threading.Thread(target=_accept, args=(server, kept), daemon=True).start()
        yield f"rabbit://guest:guest@127.0.0.1:{server.getsockname()[1]}/"
        for connection in kept:
            connection.close()


def _accept(server: socket.socket, kept: list[socket.socket]) -> None:
    with suppress(OSError):
        while True:
            kept.append(server.accept()[0])


class Line:
    """A wire to a server that can be cut or held: connections through it break, or fall silent."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._flows = threading.Event()
        self._flows.set()
        self._ends: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def cut(self) -> None:
        """Break every connection; new ones work."""
        ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def hold(self) -> None:
        """Nothing gets through, and nobody is told."""
        self._flows.clear()

    def release(self) -> None:
        self._flows.set()

    def close(self) -> None:
        self.release()
        self._server.close()
        self.cut()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._server.accept()
                there = socket.create_connection(("127.0.0.1", self._port))
                self._ends += [here, there]
                for pair in ((here, there), (there, here)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def line_to_rabbit() -> Iterator[tuple[Line, str]]:
    """A line to RabbitMQ, and the URL of its near end."""
    line = Line(5672)
    try:
        yield line, f"rabbit://guest:guest@127.0.0.1:{line.port}/"
    finally:
        line.close()


def unreachable_broker() -> str:
    """The URL of a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"rabbit://guest:guest@127.0.0.1:{server.getsockname()[1]}/"


@dataclass(frozen=True)
class Corner:
    """Names that nobody else uses on a shared broker."""

    url: str
    topic: str
    exchange: str

    @classmethod
    def of(cls, url: str) -> Corner:
        mark = uuid4().hex
        return cls(url, f"test-{mark}", f"test-exchange-{mark}")


@contextmanager
def rabbit_corner(*hosts: str) -> Iterator[Corner]:
    """A corner of RabbitMQ; its queues and exchanges are removed in the end. Skips where there is none."""
    if not _answers():
        absent("RabbitMQ does not answer on 127.0.0.1:5672")
    corner = Corner.of(RABBIT_URL)
    try:
        yield corner
    finally:
        _clean(corner, hosts)


def absent(reason: str) -> None:
    """A server that the test needs is not there: a failure where everything has to be."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _answers() -> bool:
    try:
        socket.create_connection(("127.0.0.1", 5672), timeout=2).close()
    except OSError:
        return False
    return True


def queued_messages(corner: Corner, host: str | None = None) -> int:
    """How many messages wait in the queue of all workers, or of one host's."""
    with _connect() as connection, connection.channel() as channel:
        return channel.queue_declare(_queue(corner, host), passive=True).message_count


def _clean(corner: Corner, hosts: tuple[str, ...]) -> None:
    with _connect() as connection, connection.channel() as channel:
        for host in (None, *hosts):
            channel.queue_delete(_queue(corner, host))
        channel.exchange_delete(corner.exchange)
        channel.exchange_delete(f"{corner.topic}_fanout")


def _queue(corner: Corner, host: str | None) -> str:
    return corner.topic if host is None else f"{corner.topic}.{host}"


def _connect() -> amqp.Connection:
    return amqp.Connection(host="127.0.0.1:5672", userid="guest", password="guest")
