"""Restores."""

from __future__ import annotations

from sqlalchemy.orm import defer

from protectd.common.errors import NotFound
from protectd.model.models import Restore
from protectd.model.repositories.base import Repository
from protectd.model.repositories.filters import exact


class RestoreNotFound(NotFound):
    code = "restore.not_found"
    message = "restore {id} is not there"


class RestoreRepository(Repository[Restore]):
    """`page` does not load `issues` and `report`."""

    model = Restore
    not_found = RestoreNotFound
    sort_keys = ("id", "status", "created_at", "updated_at", "started_at", "ended_at")
    filters = {
        "status": exact(Restore.status),
        "checkpoint_id": exact(Restore.checkpoint_id),
        "provider_id": exact(Restore.provider_id),
        "dry_run": exact(Restore.dry_run),
        "restore_target": exact(Restore.restore_target),
    }
    page_options = (defer(Restore.issues, raiseload=True), defer(Restore.report, raiseload=True))
