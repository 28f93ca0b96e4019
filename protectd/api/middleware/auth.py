"""Who asks: turns credentials into a request context, or answers 401."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from protectd.api import environ as env
from protectd.api import runtime as runtimes
from protectd.api.contracts import KEY_MANAGER_NOUNS
from protectd.common.context import RequestContext
from protectd.common.errors import Unauthorized
from protectd.plugin.base import AuthPlugin, Identity

PUBLIC = "/ /v1 /v1/openapi.json /v1/key-manager.json"

SIGNED = re.compile(r"/v1/triggers/[^/]+/fire")
"""Paths to which a POST brings a signature of its own, and no token."""

IDENTITY = tuple(
    f"HTTP_{name}"
    for name in (
        *("X_USER", "X_TENANT", "X_TENANT_ID", "X_TENANT_NAME", "X_ROLE", "X_IDENTITY_STATUS"),
        *("X_SERVICE_IDENTITY_STATUS", "X_SERVICE_CATALOG", "X_IS_ADMIN_PROJECT", "OPENSTACK_SYSTEM_SCOPE"),
        *(
            f"X_{whose}{what}"
            for whose in ("", "SERVICE_")
            for what in (
                *("ROLES", "DOMAIN_ID", "DOMAIN_NAME", "USER_ID", "USER_NAME", "USER_DOMAIN_ID"),
                *("USER_DOMAIN_NAME", "PROJECT_ID", "PROJECT_NAME", "PROJECT_DOMAIN_ID"),
                "PROJECT_DOMAIN_NAME",
            )
        ),
    )
)
"""Headers by which filters tell each other who asks. A client's own say nothing: they are dropped."""


class Auth:
    """
    :param public: paths that need no token; no context is made for them.
    """

    def __init__(self, app: env.Application, plugin: AuthPlugin, public: Collection[str]) -> None:
        self._app = app
        self._plugin = plugin
        self._public = frozenset(public)

    def __call__(self, environ: env.Environ, start_response: env.StartResponse) -> Iterable[bytes]:
        for header in IDENTITY:
            environ.pop(header, None)
        if not self._is_public(environ):
            environ[env.CONTEXT] = self._context(environ)
        return self._app(environ, start_response)

    def _is_public(self, environ: env.Environ) -> bool:
        path = env.path(environ)
        return path in self._public or (env.verb(environ) == "POST" and SIGNED.fullmatch(path) is not None)

    def _context(self, environ: env.Environ) -> RequestContext:
        identity = self._identity(environ)
        return RequestContext(
            request_id=env.request_id(environ),
            project_id=identity.project_id,
            user_id=identity.user_id,
            roles=tuple(identity.roles),
        )

    def _identity(self, environ: env.Environ) -> Identity:
        """:raises Unauthorized: with what the plug-in challenges to, whatever else it told."""
        try:
            return self._plugin.admit(environ, env.headers(environ), service_type(environ))
        except Unauthorized as error:
            raise Unauthorized(challenge=self._plugin.challenge) from error


def service_type(environ: env.Environ) -> str:
    """Which of the two services on this port is asked, by its name in a catalog."""
    noun = env.segments(environ)[1:2]
    return "key-manager" if KEY_MANAGER_NOUNS.issuperset(noun) and noun else "data-protect"


def filter_factory(global_conf: dict[str, str], **local_conf: str) -> env.Filter:
    plugin = runtimes.of(global_conf).auth
    public = local_conf.get("public_paths", PUBLIC).split()
    return lambda app: Auth(app, plugin, public)
