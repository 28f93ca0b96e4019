"""Authentication by Keystone: of what keystonemiddleware finds out about a request's tokens."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any, ClassVar, Self

from keystoneauth1 import exceptions
from keystonemiddleware.auth_token import AuthProtocol
from oslo_config import cfg
from webob import Request

from protectd.common.errors import ConfigurationError, Forbidden, Unauthorized, Unavailable
from protectd.common.memory import Memory
from protectd.plugin.auth.keystone_rights import KeystoneRights
from protectd.plugin.auth.keystone_service import GROUP, identity_service, register
from protectd.plugin.auth.token import MAX_TOKEN_CHARACTERS, presented_token
from protectd.plugin.base import AuthPlugin, Identity, IdentityLookup

AHEAD_S = 60.0
"""For so long holds what was asked about somebody ahead of the unit of work that needs it."""

TOKEN_AUTH = "keystone.token_auth"
_MEMORY = "protectd.token_memory"
_SERVICE_TYPES = ("data-protect", "key-manager")
_ADDED = "webob.adhoc_attrs"


class NotScoped(Forbidden):
    """A good token that is not for a project: it is for nothing, a domain or the system."""

    code = "token.not_scoped"
    message = "the token is not for a project, and everything here is a project's"


class KeystoneAuth(AuthPlugin):
    """Keystone is asked about each token that was not seen a moment ago, and with the service's own user who
    may still act when something scheduled is to run.

    Who asks is taken from Keystone's answer, never from a header.
    """

    remote: ClassVar[bool] = True

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._tokens = TokenMemory(conf.api.token_memory_s)
        self._checks = {name: AuthProtocol(_let_in, _settings(conf, name)) for name in _SERVICE_TYPES}
        self.challenge = _challenge(conf)
        self._rights = KeystoneRights(identity_service(conf))
        self._standings: Memory[Identity, tuple[Identity | None]] = Memory(AHEAD_S)

    @classmethod
    def from_options(cls, options: Mapping[str, str], lookup: IdentityLookup) -> Self:
        raise ConfigurationError(where=f"[{GROUP}]", reason="Keystone is found by the configuration only")

    @classmethod
    def from_config(cls, conf: cfg.ConfigOpts, lookup: IdentityLookup) -> Self:
        register(conf)
        return cls(conf)

    def authenticate(self, headers: Mapping[str, str]) -> Identity:
        environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        return self.admit({**Request.blank("/").environ, **environ}, headers, _SERVICE_TYPES[0])

    def admit(
        self, environ: MutableMapping[str, Any], headers: Mapping[str, str], service_type: str
    ) -> Identity:
        """
        :raises NotScoped: the token is not for a project.
        :raises Unavailable: Keystone does not answer, or not to this service.
        """
        environ["HTTP_X_AUTH_TOKEN"] = _usable(presented_token(headers))
        _usable(headers.get("x-service-token", ""))
        environ[_MEMORY] = self._tokens
        self._check(environ, service_type)
        user = environ[TOKEN_AUTH].user
        if user.project_id is None:
            raise NotScoped
        roles = tuple(name.lower() for name in user.role_names)
        return Identity(user.user_id, user.project_id, roles, user.expires)

    def _check(self, environ: MutableMapping[str, Any], service_type: str) -> None:
        """:raises Unauthorized: Keystone does not know the token, or no service stands by an expired one."""
        try:
            status, *_ = Request(environ).call_application(self._checks[service_type])
        except exceptions.ClientException as error:
            raise Unavailable(what="Keystone", reason=type(error).__name__) from error
        environ.pop(_ADDED, None)
        if status.startswith("401"):
            raise Unauthorized
        if not status.startswith("204"):
            raise Unavailable(what="Keystone", reason="it did not say whether the token is good")

    # --- who may still act ---

    def look_ahead(self, identity: Identity) -> None:
        self._standings.note(identity, (self._rights.standing(identity),))

    def standing(self, identity: Identity) -> Identity | None:
        """
        :raises Unavailable: Keystone does not answer.
        """
        known = self._standings.recall(identity)
        return self._rights.standing(identity) if known is None else known[0]


class TokenMemory:
    """What Keystone said about tokens, by their digests; what keystonemiddleware takes for its `cache`.

    :param keep_s: how long it holds, whatever keystonemiddleware says.
    """

    def __init__(self, keep_s: float) -> None:
        self._memory: Memory[str, bytes] = Memory(keep_s)

    def get(self, key: str) -> bytes | None:
        return self._memory.recall(key)

    def set(self, key: str, value: bytes, time: float = 0) -> None:
        self._memory.note(key, value)


def _settings(conf: cfg.ConfigOpts, service_type: str) -> dict[str, Any]:
    """What may not be configured otherwise, and where the rest is. With `delay_auth_decision` an unreachable
    Keystone would look like a bad token; rules of access are checked by the catalog."""
    fixed = {"delay_auth_decision": "false", "include_service_catalog": "true", "service_type": service_type}
    if not conf[GROUP].memcached_servers:
        fixed["cache"] = _MEMORY
    return {**fixed, "oslo_config_config": conf}


def _challenge(conf: cfg.ConfigOpts) -> str:
    uri = conf[GROUP].www_authenticate_uri
    return f'Keystone uri="{uri}"' if uri else AuthPlugin.challenge


def _usable(token: str) -> str:
    """:raises Unauthorized: it cannot be a token, and would not pass a header."""
    if len(token) > MAX_TOKEN_CHARACTERS or not (token.isascii() and token.isprintable()):
        raise Unauthorized
    return token


def _let_in(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Stands behind the check, so that one may see that a request came through."""
    start_response("204 No Content", [])
    return []
