"""Rules of /operation_logs."""

from __future__ import annotations

from protectd.api.policies.base import rule

GET_ALL = "operation_log:list"
GET = "operation_log:get"
CANCEL = "operation_log:cancel"

_ALL = "/v1/{project_id}/operation_logs"
_ONE = f"{_ALL}/{{operation_log_id}}"

RULES = (
    rule(GET_ALL, "List what was done.", ("GET", _ALL)),
    rule(GET, "Show one operation.", ("GET", _ONE)),
    rule(CANCEL, "Ask an operation to end.", ("DELETE", _ONE)),
)
