"""Requests to either API of a site: who gets no answer asks the other, with the same key."""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from typing import Any

from tests.drills.site import Site

ASK_S = 10.0
"""An answer that takes longer counts as none."""

PERSISTS_S = 90.0
AGAIN_S = 0.25
UNHEARD = (0, 500, 502, 503, 504)
"""Whoever gets one of these does not know what became of the request."""


class NoAnswer(AssertionError):
    """Nobody answered for so long that the service counts as down."""


class Door:
    """:ivar answers: how often each status came; 0: none did."""

    def __init__(self, site: Site, chance: random.Random) -> None:
        self._site = site
        self._chance = chance
        self._lock = threading.Lock()
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self.answers: Counter[int] = Counter()

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        return self.persist("GET", path)

    def persist(
        self, method: str, path: str, body: dict[str, Any] | None = None, key: str = ""
    ) -> tuple[int, dict[str, Any]]:
        """Until someone answers. :raises NoAnswer: nobody did for a long time."""
        deadline = time.monotonic() + PERSISTS_S
        while True:
            status, found = self.ask(method, path, body, key)
            if status not in UNHEARD and not _is_under_way(status, found):
                return status, found
            if time.monotonic() > deadline:
                raise NoAnswer(f"{method} {path}: {status} {found} for {PERSISTS_S:g} s")
            time.sleep(AGAIN_S)

    def ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, key: str = ""
    ) -> tuple[int, dict[str, Any]]:
        """Once, either API. Status 0: no answer."""
        tenant = self._site.tenant
        with self._lock:
            endpoint = self._chance.choice(self._site.endpoints)
        request = urllib.request.Request(
            f"{endpoint}/v1/{tenant.project_id}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Auth-Token": tenant.token, "Content-Type": "application/json"},
            method=method,
        )
        if key:
            request.add_header("Idempotency-Key", key)
        status, found = self._send(request)
        with self._lock:
            self.answers[status] += 1
        return status, found

    def _send(self, request: urllib.request.Request) -> tuple[int, dict[str, Any]]:
        try:
            with self._opener.open(request, timeout=ASK_S) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _parsed(error)
        except (OSError, ValueError) as error:
            return 0, {"reason": str(error)}


def _parsed(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        found = json.loads(error.read())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_under_way(status: int, found: dict[str, Any]) -> bool:
    """The first request with the same key is still being answered."""
    return status == 409 and "idempoten" in json.dumps(found).lower()
