"""Authentication by a token that the service made and keeps as a digest only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Self

from protectd.common.errors import Unauthorized
from protectd.plugin.base import AuthPlugin, Identity, IdentityLookup

MAX_TOKEN_CHARACTERS = 4096


def token_digest(token: str) -> str:
    """What is kept of a token: SHA-256 in hex. Tokens are 256 random bits, so no salt is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def presented_token(headers: Mapping[str, str]) -> str:
    """The token of a request: `X-Auth-Token: T`, else `Authorization: Bearer T`.

    :raises Unauthorized: neither is there.
    """
    token = headers.get("x-auth-token", "").strip()
    if not token:
        scheme, _, rest = headers.get("authorization", "").strip().partition(" ")
        token = rest.strip() if scheme.lower() == "bearer" else ""
    if not token or len(token) > MAX_TOKEN_CHARACTERS:
        raise Unauthorized
    return token


class TokenAuth(AuthPlugin):
    """Asks the service for the live token with the digest of what was presented.

    The comparison is an index look-up of a digest: its time tells nothing about a token.
    """

    def __init__(self, lookup: IdentityLookup) -> None:
        self._lookup = lookup

    @classmethod
    def from_options(cls, options: Mapping[str, str], lookup: IdentityLookup) -> Self:
        return cls(lookup)

    def authenticate(self, headers: Mapping[str, str]) -> Identity:
        identity = self._lookup.by_digest(token_digest(presented_token(headers)))
        if identity is None:
            raise Unauthorized
        return identity

    def standing(self, identity: Identity) -> Identity | None:
        return self._lookup.standing(identity)
