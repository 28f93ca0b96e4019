"""Verifications."""

from __future__ import annotations

from sqlalchemy.orm import defer

from protectd.common.errors import NotFound
from protectd.model.models import Verification
from protectd.model.repositories.base import Repository
from protectd.model.repositories.filters import exact


class VerificationNotFound(NotFound):
    code = "verification.not_found"
    message = "verification {id} is not there"


class VerificationRepository(Repository[Verification]):
    """`page` does not load `issues` and `errors`."""

    model = Verification
    not_found = VerificationNotFound
    sort_keys = ("id", "status", "created_at", "updated_at", "started_at", "ended_at")
    filters = {
        "status": exact(Verification.status),
        "checkpoint_id": exact(Verification.checkpoint_id),
        "provider_id": exact(Verification.provider_id),
        "depth": exact(Verification.depth),
    }
    page_options = (defer(Verification.issues, raiseload=True), defer(Verification.errors, raiseload=True))
