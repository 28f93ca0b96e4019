"""Requests that their senders may repeat, and how each was answered."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from protectd.model.errors import DatabaseContended
from protectd.model.models import IdempotencyKey
from protectd.model.states import swap

KEPT = timedelta(hours=24)
"""So long a key stands for the request it came with first."""


class IdempotencyKeyRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def begin(self, id: str, body_digest: str, now: datetime, kept: timedelta) -> IdempotencyKey | None:
        """Take a key for a request that is about to be done. Waits for whoever does the same at this moment.

        :param kept: an older one counts as never used.
        :returns: None: it is taken, for as long as this unit of work lives and from its commit on. Else how
            the request was answered before.
        :raises DatabaseContended: it was purged between two looks; begin anew.
        """
        if self._insert(IdempotencyKey(id=id, body_digest=body_digest, created_at=now)):
            return None
        found = self.session.get(IdempotencyKey, id)
        if found is None:
            raise DatabaseContended(reason="a key was purged while it was read")
        if found.created_at > now - kept or not self._replace(found, body_digest, now):
            return found
        return None

    def keep(self, id: str, status: int, location: str | None, body: Any) -> None:
        """How the request was answered whose key this unit of work has taken. An answer that is not kept is
        known as given, and no more."""
        row = self.session.get_one(IdempotencyKey, id)
        row.status, row.location, row.body = status, location, body

    def amend(self, id: str, body: Any) -> None:
        """The answer left with another body than was kept."""
        swap(self.session, IdempotencyKey, id, [IdempotencyKey.status.is_not(None)], {"body": body})

    def purge(self, before: datetime, limit: int) -> int:
        """Remove keys that were first used before then, oldest first. :returns: how many, at most `limit`."""
        old = IdempotencyKey.created_at < before
        query = select(IdempotencyKey.id).where(old).order_by(IdempotencyKey.created_at).limit(limit)
        ids = list(self.session.scalars(query))
        statement = delete(IdempotencyKey).where(IdempotencyKey.id.in_(ids), old)
        result = self.session.execute(statement, execution_options={"synchronize_session": False})
        return cast("CursorResult[Any]", result).rowcount

    def _insert(self, row: IdempotencyKey) -> bool:
        try:
            with self.session.begin_nested():
                self.session.add(row)
        except IntegrityError:
            return False
        return True

    def _replace(self, found: IdempotencyKey, body_digest: str, now: datetime) -> bool:
        """False: another did so first, and `found` shows it."""
        anew = {"status": None, "location": None, "body": None}
        values = {"body_digest": body_digest, "created_at": now, **anew}
        as_found = [IdempotencyKey.created_at == found.created_at]
        return swap(self.session, IdempotencyKey, found.id, as_found, values)
