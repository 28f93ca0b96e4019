"""Orders of keys."""

from __future__ import annotations

from sqlalchemy import Text, func, select, type_coerce

from protectd.common.errors import NotFound
from protectd.model.models import Order
from protectd.model.repositories.base import Repository


class OrderNotFound(NotFound):
    code = "order.not_found"
    message = "order {id} is not there"


class OrderRepository(Repository[Order]):
    model = Order
    not_found = OrderNotFound

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
