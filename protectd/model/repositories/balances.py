"""What projects really have, beside what is said to be in use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, func, or_, select, union
from sqlalchemy.orm import Session

from protectd.model.models import (
    Checkpoint,
    Container,
    ContainerConsumer,
    Order,
    Plan,
    QuotaUsage,
    Secret,
    SecretConsumer,
    Task,
    Vault,
)
from protectd.model.repositories.checkpoints import does_count
from protectd.model.repositories.quotas import (
    CHECKPOINTS,
    CONTAINER_CONSUMERS,
    CONTAINERS,
    OPERATIONS,
    ORDERS,
    PLANS,
    RESOURCES,
    SECRET_CONSUMERS,
    SECRETS,
    STORED_BYTES,
)
from protectd.model.repositories.secrets import unexpired
from protectd.model.states import TaskState

LIVE = (TaskState.PENDING, TaskState.RUNNING)


@dataclass(frozen=True, slots=True)
class Balance:
    """By resource. :ivar said: without those that have no row."""

    said: Mapping[str, int]
    true: Mapping[str, int]

    @property
    def wrong(self) -> list[str]:
        return [resource for resource in RESOURCES if self.said.get(resource, 0) != self.true[resource]]


class BalanceRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def projects(self, after: str, limit: int) -> list[str]:
        """Ids of projects that have something, or are said to, in order from behind `after`."""
        models: list[Any] = [QuotaUsage, Plan, Vault, Secret, Order, Container]
        owners: list[Any] = [model.project_id for model in models]
        each = [
            select(owner).where(owner > after).distinct().order_by(owner).limit(limit).subquery()
            for owner in owners
        ]
        query = union(*(select(part.c.project_id) for part in each)).order_by("project_id").limit(limit)
        return list(self.session.scalars(query))

    def balance(self, project_id: str, now: datetime) -> Balance:
        """One statement, so that all of it is of the same moment."""
        said = [_said(project_id, resource) for resource in RESOURCES]
        true = [_true(project_id, resource, now) for resource in RESOURCES]
        row = list(self.session.execute(select(*said, *true)).one())
        in_use, count = row[: len(RESOURCES)], row[len(RESOURCES) :]
        return Balance(
            {name: each for name, each in zip(RESOURCES, in_use, strict=True) if each is not None},
            {name: int(each) for name, each in zip(RESOURCES, count, strict=True)},
        )

    def true(self, project_id: str, resource: str, now: datetime) -> int:
        """What there is of one resource."""
        return int(self.session.scalar(select(_true(project_id, resource, now))) or 0)

    def miscounted(self, project_id: str, after: str, limit: int) -> list[str]:
        """Ids of checkpoints that are counted though they should not be, or the other way round; in order,
        from behind `after`."""
        counts = does_count()
        wrong = or_(Checkpoint.counted.is_(True) & ~counts, Checkpoint.counted.is_(False) & counts)
        query = select(Checkpoint.id).where(_of(Checkpoint, project_id), Checkpoint.id > after, wrong)
        return list(self.session.scalars(query.order_by(Checkpoint.id).limit(limit)))


def _of(model: Any, project_id: str) -> ColumnElement[bool]:
    owned: ColumnElement[bool] = model.project_id == project_id
    return owned


def _living(model: Any, project_id: str) -> tuple[ColumnElement[bool], ...]:
    return _of(model, project_id), model.deleted.is_(False)


def _said(project_id: str, resource: str) -> ScalarSelect[Any]:
    its = _of(QuotaUsage, project_id), QuotaUsage.resource == resource
    return select(QuotaUsage.in_use).where(*its).scalar_subquery()


def _true(project_id: str, resource: str, now: datetime) -> ScalarSelect[Any]:
    """The service's own secrets, which nobody has made, do not count; nor does what has expired."""
    counted = _of(Checkpoint, project_id), Checkpoint.counted.is_(True)
    secrets = *_living(Secret, project_id), Secret.creator_id.is_not(None), unexpired(now)
    containers = _living(Container, project_id)
    return {
        CHECKPOINTS: select(func.count(Checkpoint.id)).where(*counted),
        PLANS: select(func.count(Plan.id)).where(*_living(Plan, project_id)),
        STORED_BYTES: select(func.coalesce(func.sum(Checkpoint.counted_bytes), 0)).where(*counted),
        OPERATIONS: select(func.count(Task.id)).where(
            _of(Task, project_id), Task.state.in_(LIVE), Task.counted.is_(True)
        ),
        SECRETS: select(func.count(Secret.id)).where(*secrets),
        ORDERS: select(func.count(Order.id)).where(*_living(Order, project_id)),
        CONTAINERS: select(func.count(Container.id)).where(*containers),
        SECRET_CONSUMERS: select(func.count(SecretConsumer.id))
        .join(Secret, Secret.id == SecretConsumer.secret_id)
        .where(*secrets),
        CONTAINER_CONSUMERS: select(func.count(ContainerConsumer.id))
        .join(Container, Container.id == ContainerConsumer.container_id)
        .where(*containers),
    }[resource].scalar_subquery()
