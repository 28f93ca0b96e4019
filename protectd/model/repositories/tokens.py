"""Tokens by digest."""

from __future__ import annotations

from sqlalchemy import select

from protectd.common.errors import NotFound
from protectd.model.models import Token
from protectd.model.repositories.base import Repository
from protectd.model.repositories.filters import exact


class TokenNotFound(NotFound):
    code = "token.not_found"
    message = "token {id} is not there"


class TokenRepository(Repository[Token]):
    """Tokens are revoked, not deleted."""

    model = Token
    not_found = TokenNotFound
    sort_keys = ("id", "name", "created_at", "expires_at")
    filters = {"user_id": exact(Token.user_id), "name": exact(Token.name)}

    def by_digest(self, digest: str) -> Token | None:
        """The token with this digest, dead or alive."""
        return self.session.scalars(select(Token).where(Token.digest == digest)).one_or_none()

    def of_user(self, user_id: str, project_id: str) -> list[Token]:
        """All of a user in a project, dead or alive."""
        return self.all(select(Token).where(Token.project_id == project_id, Token.user_id == user_id))

    def delete(self, entity: Token) -> None:
        """Remove the row for good."""
        self.session.delete(entity)
        self.session.flush()
