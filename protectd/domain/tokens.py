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
from protectd.plugin.base import Identity

TOKEN_BYTES = 32


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
    text = secrets.token_urlsafe(TOKEN_BYTES)
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
    """Asks the database at each request, so a revoked token is refused at once."""

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
        return Identity(token.user_id, token.project_id, tuple(token.roles))
