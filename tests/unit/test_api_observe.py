"""What is noted of a request: its verb, route and status, and how long it took; nothing that it carried."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from protectd.api import environ as env
from protectd.api.middleware.observe import Observe
from protectd.common.metrics import Metrics

ROUTE = "/v1/{project_id}/plans"


class Noted(Metrics):
    def __init__(self) -> None:
        self.requests: list[tuple[str, str, int]] = []

    def request(self, verb: str, route: str, status: int, taken_s: float) -> None:
        assert taken_s >= 0
        self.requests.append((verb, route, status))


def answering(status: str) -> Any:
    def app(environ: env.Environ, start_response: env.StartResponse) -> list[bytes]:
        environ[env.ROUTE] = ROUTE
        start_response(status, [])
        return []

    return app


def ask(app: Any, verb: str, path: str = "/v1/p/plans") -> list[tuple[str, str, int]]:
    noted = Noted()
    environ = {"REQUEST_METHOD": verb, "PATH_INFO": path, "QUERY_STRING": "marker=hidden"}
    Observe(app, noted)(environ, lambda *_: None)
    return noted.requests


def test_a_request_is_noted_by_route_and_status(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert ask(answering("200 OK"), "HEAD") == [("GET", ROUTE, 200)]
        assert ask(answering("404 Not Found"), "POST") == [("POST", ROUTE, 404)]
    levels = [record.levelname for record in caplog.records]
    assert levels == ["DEBUG", "INFO"], "who only reads is not everyday news"
    assert "POST /v1/p/plans: 404 in" in caplog.text and "hidden" not in caplog.text


def test_a_failure_is_told_whatever_was_asked(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert ask(answering("503 Service Unavailable"), "GET") == [("GET", ROUTE, 503)]
    assert "GET /v1/p/plans: 503" in caplog.text


def test_a_path_cannot_begin_a_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        ask(answering("400 Bad Request"), "POST\n", "/v1/\n2026 ERROR forged \xc3\xa9")
    (record,) = caplog.records
    assert "POST%0A /v1/%0A2026%20ERROR%20forged%20%C3%A9: 400" in record.getMessage()


def test_one_that_breaks_off_counts_as_failed() -> None:
    def broken(environ: env.Environ, start_response: env.StartResponse) -> list[bytes]:
        raise RuntimeError("no door stands between")

    noted = Noted()
    with pytest.raises(RuntimeError):
        Observe(broken, noted)({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: None)
    assert noted.requests == [("GET", "", 500)]
