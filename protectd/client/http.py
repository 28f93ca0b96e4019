"""A small HTTP client of the service: standard library only, no proxy, JSON in and out."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from protectd.common.errors import ProtectdError


class RequestFailed(ProtectdError):
    """The service answered no, or not at all. `answered` is its status, 0 when it did not answer."""

    code = "client.request_failed"
    message = "{method} {path}: {reason}"


class Client:
    """Requests below `/v1/{project_id}` of one endpoint, with one token.

    The token goes into a header only: never into a URL, an error or an argument of a program.
    """

    def __init__(self, endpoint: str, token: str, project_id: str, timeout_s: float = 60.0) -> None:
        self._base = f"{endpoint.rstrip('/')}/v1/{project_id}"
        self._token = token
        self._timeout_s = timeout_s
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path: str) -> dict[str, Any]:
        return self._send("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._send("POST", path, body)

    def delete(self, path: str) -> dict[str, Any]:
        return self._send("DELETE", path, None)

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Auth-Token": self._token, "Accept": "application/json"}
        if data is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self._base + path, data=data, headers=headers, method=method)
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                found = json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                raise RequestFailed(
                    method=method, path=path, reason=_reason(error), answered=error.code
                ) from None
        except (OSError, ValueError) as error:
            raise RequestFailed(method=method, path=path, reason=str(error), answered=0) from error
        return found if isinstance(found, dict) else {}


def _reason(error: urllib.error.HTTPError) -> str:
    """The sentence in the fault body, or the status when there is none."""
    try:
        fault = next(iter(json.loads(error.read()).values()))
        return str(fault["message"])
    except (ValueError, AttributeError, StopIteration, KeyError, TypeError):
        return f"{error.code} {error.reason}"
