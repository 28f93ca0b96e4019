"""Rules of /operation_logs."""

from __future__ import annotations

from protectd.api.policies.base import rule

GET_ALL = "operation_log:list"
GET = "operation_log:get"

_ALL = "/v1/{project_id}/operation_logs"

RULES = (
    rule(GET_ALL, "List what was done.", ("GET", _ALL)),
    rule(GET, "Show one operation.", ("GET", f"{_ALL}/{{operation_log_id}}")),
)
