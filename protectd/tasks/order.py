"""Orders: from a PENDING order to a key."""

from __future__ import annotations

from collections.abc import Sequence

from protectd.common.errors import ConfigurationError, ProtectdError
from protectd.domain.key_manager.generation import Made, Wish, make
from protectd.domain.key_manager.orders import Orders
from protectd.model.models import Order
from protectd.model.states import OrderStatus
from protectd.model.unit_of_work import UnitOfWork
from protectd.tasks.base import BaseTask
from protectd.tasks.errors import EntityNotReady
from protectd.tasks.run import Run


class BeginTypeOrder(BaseTask[Order]):
    """Keys are made in memory and kept in the transaction that ends the order: a failed one leaves none, and
    one that is done twice keeps the keys of one attempt."""

    operation = "order"
    kind = "order"
    success_word = OrderStatus.ACTIVE
    failure_word = OrderStatus.ERROR

    @property
    def orders(self) -> Orders:
        """:raises ConfigurationError: this process has no secrets."""
        if self.env.orders is None:
            raise ConfigurationError(where="orders", reason="this process has no secret store")
        return self.env.orders

    def retrieve_entity(self, uow: UnitOfWork, entity_id: str) -> Order:
        return uow.orders.get(entity_id, lock=True)

    def handle_begin(self, uow: UnitOfWork, order: Order, run: Run) -> None:
        if order.status != OrderStatus.PENDING:
            raise EntityNotReady(
                kind=self.kind, id=order.id, status=order.status, expected=OrderStatus.PENDING
            )
        run.facts = self.orders.wish(uow, order)

    def handle_processing(self, run: Run) -> None:
        run.progress.check()
        run.facts = self.make(run.facts)

    def make(self, wish: Wish) -> Sequence[Made]:
        return make(wish)

    def handle_success(self, uow: UnitOfWork, order: Order, run: Run) -> None:
        self.orders.fulfil(uow, order, run.facts)

    def handle_error(self, uow: UnitOfWork, order: Order, error: ProtectdError, run: Run) -> None:
        self.orders.fail(uow, order, error)
