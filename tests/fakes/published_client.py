"""The service on a port, and python-karborclient beside it: library, `karbor` and OpenStack commands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from karborclient import client as published
from keystoneauth1 import session, token_endpoint

from protectd.cmd.serve import Server, listen
from tests.fakes.service import Client, Service

PROGRAMS = Path(sys.executable).parent


@contextmanager
def serving(service: Service) -> Iterator[str]:
    """Where the service is reached while the block lasts."""
    stopped, sock = threading.Event(), listen("127.0.0.1", 0)
    port = sock.getsockname()[1]
    server = Server(service.app.app, sock, threads=4)
    thread = threading.Thread(target=lambda: server.run(stopped.is_set))
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stopped.set()
        thread.join()
        server.close()


class Refused(Exception):
    """What a command wrote when it failed."""


@dataclass(frozen=True)
class Caller:
    """One user with a token.

    :ivar client: the same user, without the published client.
    """

    endpoint: str
    client: Client

    @property
    def url(self) -> str:
        return f"{self.endpoint}/v1/{self.client.project_id}"

    def library(self, kind: str = "token") -> Any:
        """:param kind: `token`: its own HTTP; `session`: that of keystoneauth."""
        if kind == "token":
            return published.Client("1", endpoint=self.url, token=self.client.token)
        auth = token_endpoint.Token(self.url, self.client.token)
        return published.Client("1", session=session.Session(auth=auth), service_type="data-protect")

    def karbor(self, *arguments: str) -> str:
        """What the command prints."""
        access = ("--os-no-client-auth", "--os-auth-token", self.client.token, "--karbor-url", self.url)
        return run_program("karbor", *access, *arguments)

    def openstack(self, *arguments: str) -> Any:
        """What the command says, as JSON; None for nothing. A command's own words come before its options."""
        said = self._openstack(self.url, "data", "protection", *arguments)
        return json.loads(said) if said.strip() else None

    def secret(self, *arguments: str) -> str:
        """What `openstack secret` says, or `openstack acl`, as it is."""
        return self._openstack(f"{self.endpoint}/v1", *arguments)

    def _openstack(self, url: str, *arguments: str) -> str:
        access = ("--os-auth-type", "admin_token", "--os-endpoint", url, "--os-token", self.client.token)
        return run_program("openstack", *access, *arguments)


def caller(service: Service, endpoint: str, project_id: str | None = None, role: str = "member") -> Caller:
    return Caller(endpoint, service.client(project_id, role))


def run_program(program: str, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    done = subprocess.run(
        [PROGRAMS / program, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Refused(done.stdout + done.stderr)
    return done.stdout


def table(printed: str) -> dict[str, str]:
    """The two columns of what `karbor` prints of one thing. Lines of a value that has several are joined."""
    found: dict[str, str] = {}
    name = ""
    for line in rows(printed):
        name = line[0] or name
        found[name] = f"{found[name]}\n{line[1]}" if name in found else line[1]
    return found


def rows(printed: str) -> list[list[str]]:
    """The lines of a table that `karbor` prints, without its head."""
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"\s?\|\s", line.strip("|") + " ")] for line in lines[1:]]
