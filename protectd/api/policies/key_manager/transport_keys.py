"""Rules of /v1/transport_keys."""

from __future__ import annotations

from protectd.api.policies.base import rule
from protectd.api.policies.key_manager.checks import READER, SERVICE_ADMIN

GET_ALL = "transport_keys:get"
GET = "transport_key:get"
DELETE = "transport_key:delete"

_ALL = "/v1/transport_keys"
_ONE = f"{_ALL}/{{transport_key_id}}"

RULES = (
    rule(GET_ALL, "List transport keys.", ("GET", _ALL), check=READER),
    rule(GET, "Show a transport key.", ("GET", _ONE), check=READER),
    rule(DELETE, "Delete a transport key.", ("DELETE", _ONE), check=SERVICE_ADMIN),
)
