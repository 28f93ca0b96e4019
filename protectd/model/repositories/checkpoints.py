"""Checkpoints and their resources."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, Select, and_, bindparam, exists, or_, select, update
from sqlalchemy.orm import aliased, selectinload
from sqlalchemy.orm.attributes import set_committed_value

from protectd.common.errors import NotFound
from protectd.model.models import Checkpoint, CheckpointResource, Restore, Verification
from protectd.model.repositories.base import Repository
from protectd.model.repositories.filters import before, exact, since
from protectd.model.repositories.pictures import Children, Pictures
from protectd.model.states import (
    COPIED_STATUSES,
    COPYING_STATUSES,
    RUNNING_STATUSES,
    CheckpointStatus,
    ResourceStatus,
)


class CheckpointNotFound(NotFound):
    code = "checkpoint.not_found"
    message = "checkpoint {id} is not there"


class CheckpointRepository(Repository[Checkpoint]):
    """`page` and `looks` leave out deleted checkpoints and do not load `issues`; `get` still finds one by its
    status `deleted`."""

    model = Checkpoint
    not_found = CheckpointNotFound
    sort_keys = ("id", "status", "created_at", "updated_at", "started_at", "ended_at", "plan_name", "name")
    columns = {"name": "plan_name"}
    filters = {
        "plan_id": exact(Checkpoint.plan_id),
        "provider_id": exact(Checkpoint.provider_id),
        "status": exact(Checkpoint.status),
        "source_id": exact(Checkpoint.source_id),
        "start": since(Checkpoint.created_at),
        "end": before(Checkpoint.created_at),
    }
    pictures = Pictures(
        Checkpoint,
        Children(
            "resources",
            CheckpointResource,
            CheckpointResource.checkpoint_id,
            where=(),
            order=(CheckpointResource.id,),
            hidden=frozenset({"issues"}),
        ),
    )
    page_options = (selectinload(Checkpoint.resources).defer(CheckpointResource.issues, raiseload=True),)

    def listed(self, project_id: str | None, filters: Mapping[str, Any]) -> Select[Checkpoint]:
        query = super().listed(project_id, filters)
        return query.where(Checkpoint.status != CheckpointStatus.DELETED)

    def lock_plain(self, ids: Collection[str]) -> set[str]:
        """Those that are as a request leaves them: pending, made for no schedule, none of their bytes
        counted. Their rows stay so until the unit of work ends; those that others hold are left out."""
        return set(self.session.connection().execute(_PLAIN, {"ids": list(ids)}).scalars())

    def pinned(self, checkpoint_id: str) -> bool:
        """Whether a restore, verification or copy of it waits or runs."""
        return bool(self.session.scalar(select(is_pinned(checkpoint_id))))

    def counts(self, checkpoint_id: str) -> bool:
        """Whether it belongs into its project's quota, whatever it says itself."""
        self.session.flush()
        return bool(
            self.session.scalar(select(Checkpoint.id).where(Checkpoint.id == checkpoint_id, does_count()))
        )

    def count(self, checkpoint: Checkpoint, counted: bool, counted_bytes: int) -> bool:
        """Note what of it is in its project's quota, if that is still what `checkpoint` says."""
        seen = (
            Checkpoint.counted.is_(checkpoint.counted),
            Checkpoint.counted_bytes == checkpoint.counted_bytes,
        )
        values = {"counted": counted, "counted_bytes": counted_bytes}
        self.session.flush()
        result = self.session.execute(
            update(Checkpoint).where(Checkpoint.id == checkpoint.id, *seen).values(**values),
            execution_options={"synchronize_session": False},
        )
        if cast("CursorResult[Any]", result).rowcount != 1:
            return False
        for name, value in values.items():
            set_committed_value(checkpoint, name, value)
        return True

    def newest_of(self, plan_id: str, provider_id: str, status: str) -> str | None:
        """The id of the newest checkpoint of a plan, with a provider, in a status."""
        query = (
            select(Checkpoint.id)
            .where(Checkpoint.plan_id == plan_id, Checkpoint.provider_id == provider_id)
            .where(Checkpoint.deleted.is_(False), Checkpoint.status == status)
            .order_by(Checkpoint.created_at.desc(), Checkpoint.id.desc())
            .limit(1)
        )
        return self.session.scalar(query)

    def newest_snapshot(self, plan_id: str, resource_type: str, resource_id: str) -> str | None:
        """Of one resource, in the newest available checkpoint of the plan that is no copy and has saved it: a
        copy may lie in another vault."""
        wanted = {"plan_id": plan_id, "resource_type": resource_type, "resource_id": resource_id}
        found: str | None = self.session.connection().execute(_NEWEST_SNAPSHOT, wanted).scalar()
        return found

    def referring(
        self, project_id: str, provider_id: str, snapshot_ids: Collection[str], ids: Collection[str]
    ) -> list[Checkpoint]:
        """Checkpoints of one vault that are not deleted and have one of these snapshots, or one of these ids:
        a run that is under way has stored snapshots that its rows do not name yet."""
        has_one = exists().where(
            CheckpointResource.checkpoint_id == Checkpoint.id,
            CheckpointResource.snapshot_id.in_(snapshot_ids),
        )
        return self.all(
            select(Checkpoint)
            .where(Checkpoint.project_id == project_id, Checkpoint.provider_id == provider_id)
            .where(Checkpoint.deleted.is_(False), Checkpoint.status != CheckpointStatus.DELETED)
            .where(or_(has_one, Checkpoint.id.in_(ids)))
            .order_by(Checkpoint.created_at, Checkpoint.id)
        )

    def any_of(self, plan_id: str) -> bool:
        """Whether a plan has a checkpoint that is not deleted."""
        query = select(Checkpoint.id).where(Checkpoint.plan_id == plan_id, Checkpoint.deleted.is_(False))
        query = query.where(Checkpoint.status != CheckpointStatus.DELETED)
        return self.session.scalar(query.limit(1)) is not None

    def to_copy(self, plan_id: str, provider_id: str, target_id: str) -> list[Checkpoint]:
        """Available checkpoints of a plan in a provider, oldest first, of which another one has no copy and
        gets none now. Copies are not among them. Locked against their deletion."""
        copy = aliased(Checkpoint)
        copied = exists().where(
            copy.source_id == Checkpoint.id,
            copy.provider_id == target_id,
            copy.status.in_(COPIED_STATUSES),
        )
        return self.all(
            select(Checkpoint)
            .where(Checkpoint.plan_id == plan_id, Checkpoint.provider_id == provider_id)
            .where(Checkpoint.status == CheckpointStatus.AVAILABLE, Checkpoint.deleted.is_(False))
            .where(Checkpoint.source_id.is_(None), ~copied)
            .order_by(Checkpoint.created_at, Checkpoint.id)
            .with_for_update()
        )

    def in_status(self, plan_id: str, statuses: tuple[str, ...]) -> list[Checkpoint]:
        """Checkpoints of one plan in one of `statuses`, oldest first."""
        return self.all(
            select(Checkpoint)
            .where(Checkpoint.plan_id == plan_id, Checkpoint.deleted.is_(False))
            .where(Checkpoint.status.in_(statuses))
            .order_by(Checkpoint.created_at, Checkpoint.id)
        )


_NEWEST_SNAPSHOT = (
    select(CheckpointResource.__table__.c.snapshot_id)
    .join(Checkpoint.__table__, CheckpointResource.checkpoint_id == Checkpoint.id)
    .where(Checkpoint.plan_id == bindparam("plan_id"), Checkpoint.deleted.is_(False))
    .where(Checkpoint.status == CheckpointStatus.AVAILABLE, Checkpoint.source_id.is_(None))
    .where(CheckpointResource.resource_type == bindparam("resource_type"))
    .where(CheckpointResource.resource_id == bindparam("resource_id"))
    .where(CheckpointResource.status == ResourceStatus.AVAILABLE)
    .where(CheckpointResource.snapshot_id.is_not(None))
    .order_by(Checkpoint.created_at.desc(), Checkpoint.id.desc())
    .limit(1)
)

_ROW = Checkpoint.__table__.c
_PLAIN = (
    select(_ROW.id)
    .where(_ROW.id.in_(bindparam("ids", expanding=True)), _ROW.status == CheckpointStatus.PENDING)
    .where(_ROW.deleted.is_(False), _ROW.counted.is_(True), _ROW.counted_bytes == 0)
    .where(_ROW.scheduled_operation_id.is_(None))
    .with_for_update(skip_locked=True)
)


_MAY_BE_EMPTY = (CheckpointStatus.ERROR, CheckpointStatus.DELETING, CheckpointStatus.ERROR_DELETING)


def does_count() -> ColumnElement[bool]:
    """Whether a checkpoint belongs into its project's quota: until its data is deleted. What is called an
    error, or is being deleted, may have all of it in the bank; only where no snapshot is recorded is nothing
    there."""
    of_resource = exists().where(
        CheckpointResource.checkpoint_id == Checkpoint.id, CheckpointResource.snapshot_id.is_not(None)
    )
    is_there = or_(Checkpoint.status.not_in(_MAY_BE_EMPTY), Checkpoint.manifest_id.is_not(None), of_resource)
    return and_(Checkpoint.status != CheckpointStatus.DELETED, is_there)


def is_pinned(checkpoint_id: Any) -> ColumnElement[bool]:
    """Whether a restore, verification or copy of a checkpoint waits or runs.

    :param checkpoint_id: an id, or the column that has it.
    """
    runs = [
        exists().where(
            run.checkpoint_id == checkpoint_id,
            run.status.in_(RUNNING_STATUSES),
            run.deleted.is_(False),
        )
        for run in (Restore, Verification)
    ]
    copy = aliased(Checkpoint)
    copies = exists().where(copy.source_id == checkpoint_id, copy.status.in_(COPYING_STATUSES))
    return or_(*runs, copies)
