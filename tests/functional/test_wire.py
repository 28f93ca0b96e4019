"""The application behind the servers that carry it: what arrives as raw bytes."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gunicorn.app.base import BaseApplication

from protectd.cmd.serve import Server, listen
from tests.fakes.service import Client, Service, running

Ask = Callable[[bytes], tuple[int, dict[str, str], bytes]]


def waitress(service: Service, stopped: threading.Event) -> Iterator[int]:
    sock = listen("127.0.0.1", 0)
    server = Server(service.app.app, sock, threads=4)
    thread = threading.Thread(target=lambda: server.run(stopped.is_set))
    thread.start()
    yield sock.getsockname()[1]
    stopped.set()
    thread.join()
    server.close()


class Gunicorn(BaseApplication):  # type: ignore[misc]
    def __init__(self, app: Any, sock: socket.socket) -> None:
        self._app, self._sock = app, sock
        super().__init__()

    def load_config(self) -> None:
        self.cfg.set("bind", [f"fd://{self._sock.fileno()}"])
        for name, value in {"worker_class": "gthread", "threads": 4, "errorlog": os.devnull}.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._app


def gunicorn(service: Service, stopped: threading.Event) -> Iterator[int]:
    sock = listen("127.0.0.1", 0)
    service.parts.database.dispose()
    pid = os.fork()
    if pid == 0:
        try:
            Gunicorn(service.app.app, sock).run()
        finally:
            os._exit(0)
    yield sock.getsockname()[1]
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
    sock.close()


@pytest.fixture(scope="module", params=[waitress, gunicorn])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Client, int]]:
    with running(tmp_path_factory.mktemp("wire")) as service:
        client = service.client()
        serving = request.param(service, threading.Event())
        yield client, next(serving)
        next(serving, None)


@pytest.fixture
def ask(served: tuple[Client, int]) -> Ask:
    """Send bytes in which `{auth}` and `{project}` are filled in; status, headers and body of the answer."""
    client, port = served
    auth = f"Host: localhost\r\nConnection: close\r\nX-Auth-Token: {client.token}\r\n".encode()

    def send(raw: bytes) -> tuple[int, dict[str, str], bytes]:
        raw = raw.replace(b"{auth}", auth).replace(b"{project}", client.project_id.encode())
        head, _, body = exchange(port, raw).partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return int(first.split()[1]), headers, body

    return send


def exchange(port: int, raw: bytes) -> bytes:
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(raw)
        while data := connection.recv(65536):
            answer += data
    return answer


POST = b"POST /v1/{project}/plans HTTP/1.1\r\n{auth}Content-Type: application/json\r\n"


def test_a_body_in_chunks_is_read_whole(ask: Ask) -> None:
    chunks = b'5\r\n{"pla\r\n11\r\nn": {"name": 1}}\n\r\n0\r\n\r\n'
    status, _, body = ask(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert (status, json.loads(body)["badRequest"]["field"]) == (400, "plan.name")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (POST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nx\r\n", 400),
        (POST + b"Content-Length: 3\r\n\r\n{}x", 400),
        (POST + b"Content-Length: 2000000\r\n\r\n" + b"x" * 2_000_000, 413),
        (POST.replace(b"json", b"xml") + b"Content-Length: 4\r\n\r\n<a/>", 415),
        (POST + b"Content-Length: 0\r\n\r\n", 400),
        (b"GET /v1/{project}%2Fplans HTTP/1.1\r\n{auth}\r\n", 400),
        (b"GET /v1/{project}/plans/%00 HTTP/1.1\r\n{auth}\r\n", 400),
        (b"GET /v1/{project}/plans/%ff HTTP/1.1\r\n{auth}\r\n", 400),
        (b"GET /v1/{project}/plans?name=%ff HTTP/1.1\r\n{auth}\r\n", 400),
        (b"GET /v1/{project}/../../plans HTTP/1.1\r\n{auth}\r\n", 404),
        (b"GET http://localhost/v1/{project}/plans HTTP/1.1\r\n{auth}\r\n", 200),
        (b"GET /v1/{project}/plans HTTP/1.1\r\n{auth}Content-Type: application/json\r\n\r\n", 200),
        (b"GET /v1/{project}/plans HTTP/1.1\r\n{auth}Content-Length: 3\r\n\r\nxxx", 200),
        (b"GET / HTTP/1.0\r\n\r\n", 300),
    ],
)
def test_bytes_get_the_status_they_deserve(ask: Ask, raw: bytes, status: int) -> None:
    found, headers, body = ask(raw)
    assert found == status
    assert "x-openstack-request-id" in headers or b"request.unreadable" in body
    assert headers["content-type"] == "application/json"
    json.loads(body)


def test_head_has_the_length_of_get_and_no_body(ask: Ask) -> None:
    status, headers, body = ask(b"HEAD /v1/{project}/plans HTTP/1.1\r\n{auth}\r\n")
    assert (status, headers["content-length"], body) == (200, str(len(b'{"plans":[]}')), b"")
