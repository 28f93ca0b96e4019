"""Lists of who may read."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, joinedload

from protectd.model.base import utc_now
from protectd.model.models import Acl, AclUser


class AclRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def find(self, id: str) -> Acl | None:
        """With its users, in one statement: most routes of the key manager ask for it."""
        query = select(Acl).where(Acl.id == id).options(joinedload(Acl.users))
        return self.session.scalars(query).unique().one_or_none()

    def put(self, id: str, kind: str, *, project_access: bool, users: Collection[str]) -> Acl:
        """As if there had been none before. The row of the thing itself is locked by the caller."""
        acl = self.find(id) or Acl(id=id, kind=kind, users=[])
        acl.project_access = project_access
        acl.updated_at = utc_now()
        known = {user.user_id: user for user in acl.users}
        acl.users = [known.get(user) or AclUser(user_id=user) for user in sorted(set(users))]
        self.session.add(acl)
        self.session.flush()
        return acl

    def remove(self, id: str) -> None:
        """Safe to repeat."""
        self.session.execute(delete(AclUser).where(AclUser.acl_id == id))
        self.session.execute(delete(Acl).where(Acl.id == id))
