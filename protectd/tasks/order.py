"""Orders: from a PENDING order to a key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protectd.common.errors import ConfigurationError, ProtectdError
from protectd.domain.key_manager.generation import Made, Wish, make
from protectd.domain.key_manager.orders import Orders
from protectd.model.models import Order
from protectd.model.states import OrderStatus
from protectd.model.unit_of_work import UnitOfWork
from protectd.tasks.base import BaseTask
from protectd.tasks.errors import EntityNotReady
from protectd.tasks.hold import end_all
from protectd.tasks.run import Run


@dataclass
class OrderFacts:
    """:ivar made: by this attempt, so far."""

    wish: Wish
    made: Sequence[Made] = ()


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
        run.facts = OrderFacts(self.orders.wish(uow, order))

    def begin_all(self, uow: UnitOfWork, runs: Sequence[Run]) -> None:
        """Keys that go together are read by one statement. What is not as a request left it begins later, and
        alone."""
        if not all(self.env.goes_together(run.brief) for run in runs):
            return super().begin_all(uow, runs)
        for run in runs:
            run.progress.check()
        found = uow.orders.lock_keys([run.entity_id for run in runs])
        for run in runs:
            if (order := found.get(run.entity_id)) is not None:
                run.facts, run.entity = OrderFacts(self.orders.wish(uow, order)), order
                run.begun = True
        return None

    def end_all(self, uow: UnitOfWork, runs: Sequence[Run]) -> None:
        """Keys that were read together and have not been looked at since are kept by one statement, too."""
        if not all(self.env.goes_together(run.brief) and run.entity is not None for run in runs):
            return super().end_all(uow, runs)
        end_all(self.env, uow, runs, self.success_word, simulated=self.simulated)
        return self.orders.keep_keys(uow, [(run.entity, made) for run in runs for made in run.facts.made])

    def handle_processing(self, run: Run) -> None:
        run.progress.check()
        run.facts.made = self.make(run.facts.wish)

    def make(self, wish: Wish) -> Sequence[Made]:
        return make(wish)

    def handle_success(self, uow: UnitOfWork, order: Order, run: Run) -> None:
        self.orders.fulfil(uow, order, run.facts.made)

    def handle_error(self, uow: UnitOfWork, order: Order, error: ProtectdError, run: Run) -> None:
        self.orders.fail(uow, order, error)
