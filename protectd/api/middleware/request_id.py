"""A name for each request: on every line of the log, in the fault body and on the answer."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from protectd.api import environ as env
from protectd.common.trail import trail

HEADERS = ("x-openstack-request-id", "x-compute-request-id")


def new() -> str:
    return f"req-{uuid.uuid4()}"


class RequestId:
    """Makes the name itself: a client's own would let it write into another's trail."""

    def __init__(self, app: env.Application) -> None:
        self._app = app

    def __call__(self, environ: env.Environ, start_response: env.StartResponse) -> Iterable[bytes]:
        request_id = new()
        environ[env.REQUEST_ID] = request_id
        added = [(name, request_id) for name in HEADERS]

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, headers + added, *rest)

        with trail(request_id=request_id):
            return self._app(environ, start)


def filter_factory(global_conf: dict[str, str], **local_conf: str) -> env.Filter:
    return RequestId
