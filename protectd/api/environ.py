"""Keys and facts of a WSGI environment that filters and controllers share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from protectd.common.context import RequestContext

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]
Filter = Callable[[Application], Application]

CONTEXT = "protectd.context"
REQUEST_ID = "protectd.request_id"
ROUTE = "protectd.route"
TOLD = "protectd.told"


def request_id(environ: Environ) -> str:
    """Empty where the pipeline has no request_id filter."""
    return str(environ.get(REQUEST_ID, ""))


def context(environ: Environ) -> RequestContext | None:
    """Who asks, or None on a path that needs no token."""
    found = environ.get(CONTEXT)
    return found if isinstance(found, RequestContext) else None


def route(environ: Environ) -> str:
    """The template of the path that was routed to; empty where there is none, or it did not come so far."""
    return str(environ.get(ROUTE, ""))


def told(environ: Environ) -> dict[str, str]:
    """Headers of the answer, whether it is a refusal or not."""
    found: dict[str, str] = environ.get(TOLD, {})
    return found


def path(environ: Environ) -> str:
    """What rules and public paths are compared with: no trailing slash, the top as `/`."""
    return (str(environ.get("SCRIPT_NAME", "")) + str(environ.get("PATH_INFO", ""))).rstrip("/") or "/"


def segments(environ: Environ) -> list[str]:
    """Of the path, in order: behind its first slash, and between those that follow."""
    return str(environ.get("PATH_INFO", "")).encode("latin-1").decode("utf-8").split("/")[1:]


def peer(environ: Environ, *, trust_forwarded: bool) -> str:
    """Where a request came from: what the proxy before us says, if it is to be believed."""
    told = str(environ.get("HTTP_X_FORWARDED_FOR", "")).rpartition(",")[2].strip()
    return told[:64] if trust_forwarded and told else str(environ.get("REMOTE_ADDR", ""))


def verb(environ: Environ) -> str:
    """HEAD is GET whose body is dropped."""
    method = str(environ.get("REQUEST_METHOD", "GET"))
    return "GET" if method == "HEAD" else method


def send(response: Application, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with a response object instead of what stands further in."""
    return response(environ, start_response)


def headers(environ: Environ) -> dict[str, str]:
    """Request headers by lower-case name."""
    return {
        key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")
    }
