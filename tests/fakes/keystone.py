"""A stand-in for Keystone: it knows one user and one application credential, and hands out a token of the
real Swift that stands behind it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import urllib3

USER = {"name": "ada", "domain": {"name": "Default"}, "password": "s3cr3t"}
PROJECT = {"name": "backups", "domain": {"name": "Default"}}
CREDENTIAL = {"id": "abc", "secret": "s3cr3t"}
WITH_PASSWORD = {
    "identity": {"methods": ["password"], "password": {"user": USER}},
    "scope": {"project": PROJECT},
}
WITH_CREDENTIAL = {"identity": {"methods": ["application_credential"], "application_credential": CREDENTIAL}}


@contextmanager
def keystone(swift_auth_url: str, user: str, key: str) -> Iterator[str]:
    """URL for signing in with version 3.

    :param swift_auth_url: where version 1 gives a token for `user` and `key`.
    """
    headers = {"X-Auth-User": user, "X-Auth-Key": key}

    class Handler(_Handler):
        answer = urllib3.request("GET", swift_auth_url, headers=headers).headers

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/identity/v3"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    answer: urllib3.HTTPHeaderDict

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/identity/v3/auth/tokens":
            self._say(404, {})
        elif asked.get("auth") in (WITH_PASSWORD, WITH_CREDENTIAL):
            self._say(201, {"token": {"catalog": self._catalog()}})
        else:
            self._say(401, {"error": {"code": 401}})

    def _catalog(self) -> list[dict[str, Any]]:
        here = {"url": self.answer["X-Storage-Url"], "region": "here"}
        away = {"url": "http://127.0.0.1:1/v1/AUTH_x", "region": "away", "interface": "public"}
        inner = {**away, "interface": "internal"}
        places = [inner, away, {**here, "interface": "public"}]
        return [{"type": "identity", "endpoints": [inner]}, {"type": "object-store", "endpoints": places}]

    def _say(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response_only(status)
        if status == 201:
            self.send_header("X-Subject-Token", self.answer["X-Auth-Token"])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""
