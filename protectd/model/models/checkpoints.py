"""A checkpoint: one run of a plan, and what came of each of its resources."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from sqlalchemy import BigInteger, Boolean, Double, ForeignKey, Index, Integer, String, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from protectd.common.ids import new_id
from protectd.model.base import (
    LENGTH_ID,
    LENGTH_NAME,
    LENGTH_WORD,
    TABLE_OPTIONS,
    Base,
    FreeText,
    Json,
    LongText,
    Stateful,
    Timestamps,
    UTCDateTime,
    id_column,
    utc_now,
)
from protectd.model.models.plans import Plan
from protectd.model.states import CheckpointStatus, ResourceStatus


class Checkpoint(Timestamps, Stateful, Base):
    """`plan_json` is the plan as it was when the run was asked for: id, name, provider_id, resources.

    :ivar scheduled_operation_id: what asked for it; None: a request.
    :ivar source_id: the checkpoint it is a copy of; None: it was made from the things themselves.
    :ivar manifest_id: the snapshot that describes it in its vault.
    :ivar counted: it is in its project's quota, with `counted_bytes`: changed by compare-and-swap, so that it
        is taken and given back once.
    :ivar held_at: since then it cannot be deleted, until an administrator lifts the hold; None: no hold.
    :ivar verified_at: when its data last proved good, at `verified_depth`; a stronger proof may be older.
    :ivar proven_recovery_s: how long its last restore drill took.
    """

    __tablename__ = "checkpoints"
    __table_args__ = (
        Index(None, "project_id", "created_at", "id"),
        Index(None, "provider_id", "created_at", "id"),
        Index(None, "plan_id", "created_at"),
        Index(None, "source_id"),
        TABLE_OPTIONS,
    )
    kind = "checkpoint"

    id: Mapped[str] = id_column()
    project_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    plan_id: Mapped[str] = mapped_column(String(LENGTH_ID))
    provider_id: Mapped[str] = mapped_column(String(LENGTH_ID))
    status: Mapped[str] = mapped_column(String(LENGTH_WORD), default=CheckpointStatus.PENDING)
    extra_info: Mapped[dict[str, Any] | None] = mapped_column(Json)
    plan_name: Mapped[str] = mapped_column(String(LENGTH_NAME))
    plan_json: Mapped[dict[str, Any]] = mapped_column(Json)
    resource_graph: Mapped[Any] = mapped_column(Json, nullable=True)
    host: Mapped[str | None] = mapped_column(String(LENGTH_NAME))
    partial: Mapped[bool] = mapped_column(Boolean, default=False)
    error_code: Mapped[str | None] = mapped_column(String(LENGTH_WORD))
    error_message: Mapped[str | None] = mapped_column(FreeText)
    logical_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    added_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    stored_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    files: Mapped[int] = mapped_column(BigInteger, default=0)
    started_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    scheduled_operation_id: Mapped[str | None] = mapped_column(String(LENGTH_ID))
    source_id: Mapped[str | None] = mapped_column(String(LENGTH_ID))
    manifest_id: Mapped[str | None] = mapped_column(String(LENGTH_WORD))
    counted: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    counted_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    hold_reason: Mapped[str | None] = mapped_column(String(LENGTH_NAME))
    held_by: Mapped[str | None] = mapped_column(String(LENGTH_NAME))
    held_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    verified_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    verified_depth: Mapped[str | None] = mapped_column(String(LENGTH_WORD))
    proven_recovery_s: Mapped[float | None] = mapped_column(Double)
    resources: Mapped[list[CheckpointResource]] = relationship(
        order_by="CheckpointResource.id", lazy="selectin", cascade="save-update, merge"
    )

    @classmethod
    def of(cls, plan: Plan, extra_info: dict[str, Any] | None = None, host: str | None = None) -> Self:
        """A PENDING checkpoint of a plan as it is now, with a PENDING row for each of its resources. Whoever
        adds it takes it from the project's quota in the same unit of work."""
        frozen = {"id": plan.id, "name": plan.name, "provider_id": plan.provider_id}
        return cls(
            id=new_id(),
            project_id=plan.project_id,
            plan_id=plan.id,
            provider_id=plan.provider_id,
            status=CheckpointStatus.PENDING,
            counted=True,
            extra_info=extra_info,
            plan_name=plan.name,
            plan_json=frozen | {"resources": [resource.summary() for resource in plan.resources]},
            host=host,
            resources=[
                CheckpointResource(
                    resource_id=resource.resource_id,
                    resource_type=resource.resource_type,
                    resource_name=resource.resource_name,
                    extra_info=resource.resource_extra_info,
                )
                for resource in plan.resources
            ],
        )


class CheckpointResource(Stateful, Base):
    """One resource of a checkpoint: where its data lies, and how it went. `issues` holds the first 1,000."""

    __tablename__ = "checkpoint_resources"
    kind = "checkpoint_resource"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    checkpoint_id: Mapped[str] = mapped_column(String(LENGTH_ID), ForeignKey("checkpoints.id"), index=True)
    resource_id: Mapped[str] = mapped_column(String(LENGTH_ID))
    resource_type: Mapped[str] = mapped_column(String(LENGTH_WORD))
    resource_name: Mapped[str] = mapped_column(String(LENGTH_NAME))
    extra_info: Mapped[Any] = mapped_column(Json, nullable=True)
    status: Mapped[str] = mapped_column(String(LENGTH_WORD), default=ResourceStatus.PENDING)
    reason: Mapped[str | None] = mapped_column(FreeText)
    snapshot_id: Mapped[str | None] = mapped_column(String(LENGTH_WORD))
    tree_id: Mapped[str | None] = mapped_column(String(LENGTH_WORD))
    source_path: Mapped[str | None] = mapped_column(LongText)
    saved_info: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    files: Mapped[int] = mapped_column(BigInteger, default=0)
    directories: Mapped[int] = mapped_column(BigInteger, default=0)
    logical_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    added_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    stored_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    issue_count: Mapped[int] = mapped_column(BigInteger, default=0)
    issues: Mapped[list[dict[str, str]]] = mapped_column(Json, default=list)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utc_now, onupdate=utc_now)

    @property
    def key(self) -> str:
        return f"{self.resource_type}#{self.resource_id}"
