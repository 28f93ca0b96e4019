"""The application behind the servers that carry it: what arrives as raw bytes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gunicorn.app.base import BaseApplication

from protectd.cmd import serve, threads
from protectd.cmd.serve import Server, listen
from tests.fakes.service import Client, Service, running

Ask = Callable[[bytes], tuple[int, dict[str, str], bytes]]

BRIEF_S = 4.0
"""For a request to arrive: enough for each that does, on a machine that does much else."""


def waitress(service: Service, stopped: threading.Event) -> Iterator[int]:
    sock = listen("127.0.0.1", 0)
    serve.ARRIVAL_S = BRIEF_S
    server = Server(service.app.app, sock, threads=4)
    thread = threading.Thread(target=lambda: server.run(stopped.is_set))
    thread.start()
    yield sock.getsockname()[1]
    stopped.set()
    thread.join()
    server.close()
    serve.ARRIVAL_S = 10.0


class Gunicorn(BaseApplication):  # type: ignore[misc]
    def __init__(self, app: Any, sock: socket.socket) -> None:
        self._app, self._sock = app, sock
        super().__init__()

    def load_config(self) -> None:
        self.cfg.set("bind", [f"fd://{self._sock.fileno()}"])
        for name, value in {"worker_class": threads.Worker, "threads": 4, "errorlog": os.devnull}.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._app


def gunicorn(service: Service, stopped: threading.Event) -> Iterator[int]:
    sock = listen("127.0.0.1", 0)
    service.parts.database.dispose()
    pid = os.fork()
    if pid == 0:
        threads.ARRIVAL_S = BRIEF_S
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
        with contextlib.suppress(ConnectionError):  # a server may refuse before it has read all
            connection.sendall(raw)
        with contextlib.suppress(ConnectionError):
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
    assert headers["content-type"] == "application/json"
    assert headers["x-openstack-request-id"] == headers["x-compute-request-id"]
    assert status < 400 or json.loads(body)["request_id"] == headers["x-openstack-request-id"]


@pytest.mark.parametrize(
    ("raw", "statuses", "fields"),
    [
        (b"\x16\x03\x01\x02 no words\r\n\r\n", {400}, {"request"}),
        (b"GET / TEAPOT\r\nHost: a\r\n\r\n", {400}, {"request"}),
        (b"GET /v1/a b HTTP/1.1\r\nHost: a\r\n\r\n", {400}, {"request"}),
        (b"GET /v1/\xff HTTP/1.1\r\nHost: a\r\n\r\n", {400}, {"request", "path"}),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-Auth-Token: secret\0word\r\n\r\n", {400}, {"headers"}),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-Auth-Token secretword\r\n\r\n", {400}, {"headers"}),
        (POST + b"Content-Length: -1\r\n\r\n{}", {400}, {"Content-Length", "headers"}),
        (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", {400}, {"Content-Length", "headers"}),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", {400, 501}, {"headers", "Transfer-Encoding"}),
        (POST + b"Content-Length: 2\r\nExpect: a miracle\r\n\r\n{}", {400, 417}, {"plan", "Expect"}),
        (b"GET /" + b"x" * 300_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", {414, 431}, {"path", "headers"}),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 300_000 + b"\r\n\r\n", {431}, {"headers"}),
    ],
)
def test_what_is_no_http_is_refused_in_the_one_fault_body(
    ask: Ask, raw: bytes, statuses: set[int], fields: set[str]
) -> None:
    status, headers, body = ask(raw)
    fault = json.loads(body)
    assert next(iter(fault.values()))["field"] in fields
    assert status in statuses and headers["content-type"] == "application/json"
    assert next(iter(fault.values()))["code"] == fault["code"] == status
    assert fault["request_id"] == headers["x-openstack-request-id"] == headers["x-compute-request-id"] != ""
    assert b"secret" not in body


@pytest.mark.parametrize(
    "begun",
    [b"X: ", b"Content-Length: 50\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"],
)
def test_clients_that_stall_in_a_request_stop_nobody_else(
    served: tuple[Client, int], ask: Ask, begun: bytes
) -> None:
    head = POST.replace(b"{auth}", b"Host: localhost\r\n").replace(b"{project}", b"p")
    with contextlib.ExitStack() as open_ones:
        for _ in range(12):  # more than the servers here have threads
            stalled = socket.create_connection(("127.0.0.1", served[1]))
            open_ones.enter_context(stalled)
            stalled.sendall(head + begun)
        status, _, _ = ask(b"GET /healthcheck HTTP/1.1\r\n{auth}\r\n")
        assert status == 200


@pytest.mark.parametrize("served", [waitress], indirect=True)
def test_hundreds_of_clients_that_stall_stop_nobody_where_no_proxy_stands_in_front(
    served: tuple[Client, int], ask: Ask
) -> None:
    with contextlib.ExitStack() as open_ones:
        for number in range(300):
            stalled = socket.create_connection(("127.0.0.1", served[1]))
            open_ones.enter_context(stalled)
            stalled.sendall(b"POST / HTTP/1.1\r\nX: " if number % 2 else b"")
        assert ask(b"GET /healthcheck HTTP/1.1\r\n{auth}\r\n")[0] == 200


def test_a_request_that_does_not_arrive_is_given_up(served: tuple[Client, int]) -> None:
    with socket.create_connection(("127.0.0.1", served[1]), timeout=20) as stalled:
        stalled.sendall(b"POST /v1/x/plans HTTP/1.1\r\nHost: a\r\n")
        said = b""
        with contextlib.suppress(ConnectionError):
            while data := stalled.recv(65536):
                said += data
    assert said == b"" or said.startswith(b"HTTP/1.1 400 ")


def test_links_without_a_host_lead_to_the_address_that_answered(ask: Ask) -> None:
    _, _, body = ask(b"GET / HTTP/1.0\r\n\r\n")
    assert json.loads(body)["versions"]["values"][0]["links"][0]["href"].startswith("http://127.0.0.1")


def test_head_has_the_length_of_get_and_no_body(ask: Ask) -> None:
    status, headers, body = ask(b"HEAD /v1/{project}/plans HTTP/1.1\r\n{auth}\r\n")
    assert (status, headers["content-length"], body) == (200, str(len(b'{"plans":[]}')), b"")
