"""Verifications."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import exists, func, select
from sqlalchemy.orm import defer

from protectd.common.errors import NotFound
from protectd.model.models import Verification
from protectd.model.models.verifications import RESTORE
from protectd.model.repositories.base import Repository
from protectd.model.repositories.filters import exact
from protectd.model.states import RunStatus


class VerificationNotFound(NotFound):
    code = "verification.not_found"
    message = "verification {id} is not there"


class VerificationRepository(Repository[Verification]):
    """`page` does not load `issues`, `errors` and `report`."""

    model = Verification
    not_found = VerificationNotFound
    sort_keys = ("id", "status", "created_at", "updated_at", "started_at", "ended_at")
    filters = {
        "status": exact(Verification.status),
        "checkpoint_id": exact(Verification.checkpoint_id),
        "provider_id": exact(Verification.provider_id),
        "depth": exact(Verification.depth),
    }
    page_options = (
        defer(Verification.issues, raiseload=True),
        defer(Verification.errors, raiseload=True),
        defer(Verification.report, raiseload=True),
    )

    def proofs(self, checkpoint_ids: Collection[str]) -> dict[str, dict[str, datetime]]:
        """When each depth was last proven, by checkpoint and depth. What was simulated has no report, and is
        no proof."""
        if not checkpoint_ids:
            return {}
        id, depth, ended_at = Verification.checkpoint_id, Verification.depth, Verification.ended_at
        query = (
            select(id, depth, func.max(ended_at).label("at"))
            .where(id.in_(checkpoint_ids), Verification.status == RunStatus.SUCCESS)
            .where(Verification.deleted.is_(False), Verification.report.is_not(None), ended_at.is_not(None))
            .group_by(id, depth)
        )
        found: dict[str, dict[str, datetime]] = {}
        for row in self.session.execute(query):
            found.setdefault(row.checkpoint_id, {})[row.depth] = row.at
        return found

    def drilled_since(self, verification: Verification, moment: datetime) -> bool:
        """Whether another restore drill of the same checkpoint has ended well later than that."""
        found = exists().where(
            Verification.checkpoint_id == verification.checkpoint_id,
            Verification.id != verification.id,
            Verification.depth == RESTORE,
            Verification.status == RunStatus.SUCCESS,
            Verification.ended_at > moment,
        )
        return bool(self.session.scalar(select(found)))
