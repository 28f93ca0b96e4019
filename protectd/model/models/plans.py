"""A plan: what a project wants protected, and where to."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, ForeignKey, Index, Integer, String, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from protectd.model.base import (
    LENGTH_ID,
    LENGTH_NAME,
    LENGTH_WORD,
    TABLE_OPTIONS,
    Base,
    Json,
    Stateful,
    Timestamps,
    id_column,
)
from protectd.model.states import PlanStatus


class Plan(Timestamps, Stateful, Base):
    """`held`: it was started and then suspended, and its schedules wait until it is started again. A plan is
    born suspended and not held: its schedules fire."""

    __tablename__ = "plans"
    __table_args__ = (Index(None, "project_id", "created_at", "id"), TABLE_OPTIONS)
    kind = "plan"

    id: Mapped[str] = id_column()
    name: Mapped[str] = mapped_column(String(LENGTH_NAME))
    description: Mapped[str | None] = mapped_column(String(LENGTH_NAME))
    provider_id: Mapped[str] = mapped_column(String(LENGTH_ID))
    project_id: Mapped[str] = mapped_column(String(LENGTH_NAME))
    status: Mapped[str] = mapped_column(String(LENGTH_WORD), default=PlanStatus.SUSPENDED)
    held: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    parameters: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    resources: Mapped[list[PlanResource]] = relationship(
        primaryjoin="and_(Plan.id == foreign(PlanResource.plan_id), PlanResource.deleted.is_(False))",
        order_by="PlanResource.position, PlanResource.id",
        lazy="selectin",
    )
    """Live resources in the order they were given. To change the set: `PlanRepository.replace_resources`."""


class PlanResource(Timestamps, Base):
    """One resource of a plan. `id` is internal; `resource_id` is what clients know."""

    __tablename__ = "resources"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    plan_id: Mapped[str] = mapped_column(String(255), ForeignKey("plans.id"), index=True)
    resource_id: Mapped[str] = mapped_column(String(LENGTH_ID))
    resource_type: Mapped[str] = mapped_column(String(LENGTH_WORD))
    resource_name: Mapped[str] = mapped_column(String(LENGTH_NAME))
    resource_extra_info: Mapped[Any] = mapped_column(Json, nullable=True)
    position: Mapped[int] = mapped_column(Integer, default=0)

    @property
    def key(self) -> str:
        return f"{self.resource_type}#{self.resource_id}"

    def summary(self) -> dict[str, Any]:
        """As the contract shows it: `extra_info` only when there is one."""
        shown = {"id": self.resource_id, "type": self.resource_type, "name": self.resource_name}
        return shown if self.resource_extra_info is None else shown | {"extra_info": self.resource_extra_info}
