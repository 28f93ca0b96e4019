"""Rules of /v1/orders."""

from __future__ import annotations

from protectd.api.policies.base import rule
from protectd.api.policies.key_manager.checks import MEMBER

CREATE = "orders:post"
GET_ALL = "orders:get"
GET = "order:get"
DELETE = "order:delete"

_ALL = "/v1/orders"
_ONE = f"{_ALL}/{{order_id}}"

RULES = (
    rule(CREATE, "Order a key.", ("POST", _ALL), check=MEMBER),
    rule(GET_ALL, "List orders.", ("GET", _ALL), check=MEMBER),
    rule(GET, "Show an order.", ("GET", _ONE), check=MEMBER),
    rule(DELETE, "Delete an order.", ("DELETE", _ONE), check=MEMBER),
)
