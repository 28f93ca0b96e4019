"""An order as the key manager's contract shows it: no field more, for clients make objects of them."""

from __future__ import annotations

from typing import Any

from protectd.api.views.key_manager.common import moment
from protectd.model.models import Order


def detail(order: Order, base: str) -> dict[str, Any]:
    """:param base: what all references begin with."""
    shown: dict[str, Any] = {
        "created": moment(order.created_at),
        "updated": moment(order.updated_at),
        "status": order.status,
        "type": order.type,
        "meta": order.meta,
        "order_ref": f"{base}/orders/{order.id}",
    }
    if order.secret_id is not None:
        shown["secret_ref"] = f"{base}/secrets/{order.secret_id}"
    if order.container_id is not None:
        shown["container_ref"] = f"{base}/containers/{order.container_id}"
    if order.error_status_code is not None:
        shown |= {"error_status_code": order.error_status_code, "error_reason": order.error_reason}
    if order.creator_id is not None:
        shown["creator_id"] = order.creator_id
    return shown
