"""Orders: have a key made, list, show, delete."""

from __future__ import annotations

from typing import ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.controllers.key_manager.base import (
    TEXT,
    WINDOW,
    KeyManagerController,
    base_of,
    json_body,
    listed_project,
    may,
    may_make,
    window,
)
from protectd.api.policies.key_manager import orders as policies
from protectd.api.schemas.key_manager import orders as schemas
from protectd.api.terms import Parameter, Terms
from protectd.api.views.key_manager import orders as views
from protectd.api.views.key_manager.common import page
from protectd.model.models import Order

META = Parameter("meta", TEXT, "only what has this in the text of its meta")


class OrdersController(KeyManagerController):
    path: ClassVar[str | None] = "/v1/orders"
    terms = {
        "GET": Terms({200: schemas.PAGE}, query=(*WINDOW, META)),
        "POST": Terms({202: schemas.MADE}, body=schemas.CREATE, narrowed=schemas.create_of),
    }

    def child(self, segment: str, call: Call) -> Controller | None:
        return OrderController(segment)

    def on_get(self, call: Call) -> Answer:
        """The project's orders, oldest first."""
        may(call, policies.GET_ALL)
        (limit, offset), meta = window(call), call.query.values.get("meta")
        project_id = listed_project(call)
        found, total = call.uow.orders.list_and_count(project_id, meta=meta, limit=limit, offset=offset)
        base = base_of(call)
        listed, kept = [views.detail(each, base) for each in found], [("meta", meta)] if meta else []
        return Answer(page("orders", listed, total, (limit, offset), f"{base}/orders", kept))

    def on_post(self, call: Call) -> Answer:
        """Have a key made: 202, and where to see that it is."""
        may_make(call, policies.CREATE)
        body, runtime = json_body(call), call.runtime
        order = runtime.orders().create(
            call.uow,
            call.quotas,
            call.project_id,
            call.context.user_id,
            body["type"],
            body["meta"],
            runtime.clock.now(),
        )
        call.tasks.process_type_order(order)
        url = f"{base_of(call)}/orders/{order.id}"
        return Answer({"order_ref": url}, status=202, location=url)


class OrderController(KeyManagerController):
    path: ClassVar[str | None] = "/v1/orders/{order_id}"
    terms = {"GET": Terms({200: schemas.ONE}), "DELETE": Terms({204: None})}

    def __init__(self, order_id: str) -> None:
        self.order_id = order_id

    def on_get(self, call: Call) -> Answer:
        may(call, policies.GET)
        return Answer(views.detail(self._order(call), base_of(call)))

    def on_delete(self, call: Call) -> Answer:
        """204, in any state. What was made stays."""
        may(call, policies.DELETE)
        call.runtime.orders().delete(call.uow, self._order(call, lock=True))
        return Answer(None, status=204)

    def _order(self, call: Call, *, lock: bool = False) -> Order:
        """Another project's is not there."""
        return call.uow.orders.get(self.order_id, listed_project(call), lock=lock)
