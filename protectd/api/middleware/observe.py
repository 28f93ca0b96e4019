"""Counts and times each request by its route, and logs those that change something."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from protectd.api import environ as env
from protectd.api import runtime as runtimes
from protectd.common.metrics import Metrics

LOG = logging.getLogger(__name__)

READING = frozenset({"GET", "OPTIONS"})


class Observe:
    """Stands behind `request_id` and before all that may answer."""

    def __init__(self, app: env.Application, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    def __call__(self, environ: env.Environ, start_response: env.StartResponse) -> Iterable[bytes]:
        begun_s, status = time.perf_counter(), 500

        def start(line: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            nonlocal status
            status = int(line[:3])
            return start_response(line, headers, *rest)

        try:
            return self._app(environ, start)
        finally:
            self._note(environ, status, time.perf_counter() - begun_s)

    def _note(self, environ: env.Environ, status: int, taken_s: float) -> None:
        verb = env.verb(environ)
        self._metrics.request(verb, env.route(environ), status, taken_s)
        level = logging.DEBUG if verb in READING and status < 500 else logging.INFO
        if LOG.isEnabledFor(level):
            LOG.log(level, "%s %s: %d in %.1f ms", quote(verb), _path(environ), status, taken_s * 1000)


def _path(environ: env.Environ) -> str:
    """Without the query, and with whatever a log must not hold escaped."""
    return quote(env.path(environ).encode("latin-1", "replace"))


def filter_factory(global_conf: dict[str, str], **local_conf: str) -> env.Filter:
    metrics = runtimes.of(global_conf).metrics
    return lambda app: Observe(app, metrics)
