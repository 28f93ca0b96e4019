"""Orders of keys."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Text, bindparam, func, select, type_coerce, update

from protectd.common.errors import NotFound
from protectd.model.models import Order
from protectd.model.repositories.base import Repository
from protectd.model.repositories.pictures import Pictures
from protectd.model.states import OrderStatus


class OrderNotFound(NotFound):
    code = "order.not_found"
    message = "order {id} is not there"


class OrderRepository(Repository[Order]):
    model = Order
    not_found = OrderNotFound
    pictures = Pictures(Order)

    def list_and_count(
        self, project_id: str, *, meta: str | None, limit: int, offset: int
    ) -> tuple[list[Order], int]:
        """A page, oldest first, and how many there are in all. :param meta: what its text has in it."""
        clauses = [Order.project_id == project_id, Order.deleted.is_(False)]
        if meta:
            clauses.append(type_coerce(Order.meta, Text).contains(meta, autoescape=True))
        total = self.session.scalar(select(func.count()).select_from(Order).where(*clauses)) or 0
        query = select(Order).where(*clauses).order_by(Order.created_at, Order.id)
        return (self.all(query.limit(limit).offset(offset)) if total > offset else []), total

    def lock_keys(self, ids: Collection[str]) -> dict[str, Order]:
        """Those that are as a request for one key leaves them, by id: pictures. Their rows stay so until the
        unit of work ends; those that others hold are left out."""
        found = self.pictures.many(self.session, _KEYS, {"ids": list(ids)})
        return {order.id: order for order in found}

    def activate(self, ids: Collection[str]) -> bool:
        """Say of orders that wait that the secrets with their ids are what was made. What the session has
        loaded does not show it. False: one of them does not wait any more, or is deleted; roll back."""
        self.session.flush()
        return self.session.connection().execute(_ACTIVATE, {"ids": list(ids)}).rowcount == len(ids)


_ROW: Any = Order.__table__.c
_WAITS = (
    _ROW.id.in_(bindparam("ids", expanding=True)),
    _ROW.status == OrderStatus.PENDING,
    _ROW.deleted.is_(False),
)
_KEYS = (
    select(Order)
    .where(*_WAITS, _ROW.type == "key", _ROW.passphrase_id.is_(None))
    .with_for_update(skip_locked=True)
)
_ACTIVATE = update(Order).where(*_WAITS).values(status=OrderStatus.ACTIVE, secret_id=_ROW.id)
