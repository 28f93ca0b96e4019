"""The outer door: whatever is raised behind it leaves as the one fault body."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

from protectd.api import environ as env
from protectd.api import faults
from protectd.api.errors import MalformedHeader, MalformedPath
from protectd.common.errors import ProtectdError

LOG = logging.getLogger(__name__)

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HOST_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]")


def check_path(environ: env.Environ) -> None:
    """:raises MalformedPath: not UTF-8, with control characters, or with a slash that was escaped: servers
    hand that on as if it had not been."""
    if "%2f" in _as_sent(environ).lower():
        raise MalformedPath(field="path", reason="has an escaped slash")
    try:
        path = str(environ.get("PATH_INFO", "")).encode("latin-1").decode("utf-8")
    except UnicodeError:
        raise MalformedPath(field="path", reason="is not UTF-8") from None
    if _CONTROL.search(path):
        raise MalformedPath(field="path", reason="has a control character")


def _as_sent(environ: env.Environ) -> str:
    """The path before the server took its escapes away; empty where the server does not tell."""
    told = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    return str(told).partition("?")[0]


def check_host(environ: env.Environ) -> None:
    """Links are made of this header.

    :raises MalformedHeader: it cannot be the name of a host.
    """
    if not _HOST_CHARACTERS.issuperset(str(environ.get("HTTP_HOST", ""))):
        raise MalformedHeader(field="Host", reason="is not the name of a host")


class Fault:
    def __init__(self, app: env.Application) -> None:
        self._app = app

    def __call__(self, environ: env.Environ, start_response: env.StartResponse) -> Iterable[bytes]:
        try:
            check_path(environ)
            check_host(environ)
            return self._app(environ, start_response)
        except ProtectdError as error:
            return self._render(error, environ, start_response)
        except Exception:
            LOG.exception("%s: unforeseen error", env.request_id(environ))
            return self._render(ProtectdError(), environ, start_response)

    def _render(
        self, error: ProtectdError, environ: env.Environ, start_response: env.StartResponse
    ) -> Iterable[bytes]:
        if error.status >= 500:
            LOG.error("%s: %s: %s", env.request_id(environ), error.code, error)
        response = faults.render(error, env.request_id(environ), env.told(environ))
        return env.send(response, environ, start_response)


def filter_factory(global_conf: dict[str, str], **local_conf: str) -> env.Filter:
    return Fault
