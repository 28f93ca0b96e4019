"""Anchors of audit chains."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from protectd.model.models import AuditAnchor


class AuditAnchorRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def put(self, anchor: AuditAnchor) -> None:
        """In place of the former one of its chain."""
        self.session.merge(anchor)
        self.session.flush()

    def all(self) -> list[AuditAnchor]:
        return list(self.session.scalars(select(AuditAnchor).order_by(AuditAnchor.chain)))
