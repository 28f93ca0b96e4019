"""Tokens of the service's own: 256 random bits each; only their digests are kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from protectd.common.clock import Clock
from protectd.common.ids import new_id
from protectd.model.models import Token
from protectd.model.unit_of_work import Database, UnitOfWork
from protectd.plugin.base import Identity, IdentityLookup

TOKEN_BYTES = 32
MOST = 10_000
"""Tokens that are remembered; with one more, memory begins anew."""

_NOTHING: tuple[float, None] = (0.0, None)


def digest(text: str) -> str:
    """What is kept of a token. Unsalted: 256 random bits are not guessed, and it must be found by it."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def issue(
    uow: UnitOfWork,
    project_id: str,
    user_id: str,
    roles: Sequence[str],
    ttl_s: float | None,
    now: datetime,
    *,
    name: str = "",
) -> str:
    """A new token's text, which is not to be had again. Its row: `uow.tokens.by_digest(digest(text))`.

    :param ttl_s: seconds until it expires; None: never.
    """
    text = _new_text()
    uow.tokens.add(
        Token(
            id=new_id(),
            digest=digest(text),
            name=name,
            user_id=user_id,
            project_id=project_id,
            roles=list(roles),
            expires_at=None if ttl_s is None else now + timedelta(seconds=ttl_s),
        )
    )
    return text


def _new_text() -> str:
    """No token begins with a hyphen: commands that take one as an argument would take it for an option."""
    while (text := secrets.token_urlsafe(TOKEN_BYTES)).startswith("-"):
        continue
    return text


def revoke(uow: UnitOfWork, token_id: str, now: datetime) -> None:
    """No request is let in with it from the commit on. Safe to repeat: the first moment stays.

    :raises TokenNotFound: there is none.
    """
    token = uow.tokens.get(token_id)
    token.revoked_at = token.revoked_at or now
    uow.flush()


def is_live(token: Token, now: datetime) -> bool:
    """Neither revoked nor expired."""
    return token.revoked_at is None and (token.expires_at is None or now < token.expires_at)


class Lookup:
    """Asks the database each time, so a revoked token is refused at once."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def by_digest(self, digest: str) -> Identity | None:
        """Identity of the live token with this digest; an unknown, expired and revoked one look alike."""
        token = self._database.ask(lambda uow: uow.tokens.by_digest(digest))
        if token is None or not hmac.compare_digest(token.digest.encode(), digest.encode()):
            return None
        if not is_live(token, self._clock.now()):
            return None
        return Identity(token.user_id, token.project_id, tuple(token.roles), token.expires_at)

    def standing(self, identity: Identity) -> Identity | None:
        """What is left of a user's rights in a project: the roles that their live tokens have, too."""
        now = self._clock.now()
        tokens = self._database.ask(lambda uow: uow.tokens.of_user(identity.user_id, identity.project_id))
        live = [set(token.roles) for token in tokens if is_live(token, now)]
        if not live:
            return None
        roles = tuple(role for role in identity.roles if role in set().union(*live))
        return Identity(identity.user_id, identity.project_id, roles)


class Remembering:
    """A lookup whose good answers hold for a moment: who asks many times is looked up once. A token that is
    revoked counts for `memory_s` more at most; one that expires is refused at once, and one that was just
    made is known at once.

    Safe for use from many threads.
    """

    def __init__(self, lookup: IdentityLookup, clock: Clock, memory_s: float, most: int = MOST) -> None:
        self._lookup = lookup
        self._clock = clock
        self._memory_s = memory_s
        self._most = most
        self._known: dict[str, tuple[float, Identity]] = {}

    def by_digest(self, digest: str) -> Identity | None:
        until_s, identity = self._known.get(digest, _NOTHING)
        asked_s = self._clock.monotonic()
        if identity is not None and asked_s < until_s and not self._is_over(identity):
            return identity
        identity = self._lookup.by_digest(digest)
        self._note(digest, asked_s + self._memory_s, identity)
        return identity

    def standing(self, identity: Identity) -> Identity | None:
        """Asked each time."""
        return self._lookup.standing(identity)

    def _is_over(self, identity: Identity) -> bool:
        return identity.expires_at is not None and identity.expires_at <= self._clock.now()

    def _note(self, digest: str, until_s: float, identity: Identity | None) -> None:
        if identity is None:
            self._known.pop(digest, None)
            return
        if len(self._known) >= self._most:
            self._known.clear()
        self._known[digest] = until_s, identity
