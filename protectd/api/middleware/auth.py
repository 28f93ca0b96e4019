"""Who asks: turns credentials into a request context, or answers 401."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from protectd.api import environ as env
from protectd.api import runtime as runtimes
from protectd.common.context import RequestContext
from protectd.plugin.base import AuthPlugin

PUBLIC = "/ /v1 /v1/openapi.json"

SIGNED = re.compile(r"/v1/triggers/[^/]+/fire")
"""Paths to which a POST brings a signature of its own, and no token."""


class Auth:
    """
    :param public: paths that need no token; no context is made for them.
    """

    def __init__(self, app: env.Application, plugin: AuthPlugin, public: Collection[str]) -> None:
        self._app = app
        self._plugin = plugin
        self._public = frozenset(public)

    def __call__(self, environ: env.Environ, start_response: env.StartResponse) -> Iterable[bytes]:
        if not self._is_public(environ):
            environ[env.CONTEXT] = self._context(environ)
        return self._app(environ, start_response)

    def _is_public(self, environ: env.Environ) -> bool:
        path = env.path(environ)
        return path in self._public or (env.verb(environ) == "POST" and SIGNED.fullmatch(path) is not None)

    def _context(self, environ: env.Environ) -> RequestContext:
        identity = self._plugin.authenticate(env.headers(environ))
        return RequestContext(
            request_id=env.request_id(environ),
            project_id=identity.project_id,
            user_id=identity.user_id,
            roles=tuple(identity.roles),
        )


def filter_factory(global_conf: dict[str, str], **local_conf: str) -> env.Filter:
    plugin = runtimes.of(global_conf).auth
    public = local_conf.get("public_paths", PUBLIC).split()
    return lambda app: Auth(app, plugin, public)
