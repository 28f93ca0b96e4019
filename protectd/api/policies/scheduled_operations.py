"""Rules of /scheduled_operations. Whoever makes one, or lets it run by a change, also has to pass the rule
of what it does."""

from __future__ import annotations

from protectd.api.policies.base import rule

CREATE = "scheduled_operation:create"
LIST = "scheduled_operation:list"
GET = "scheduled_operation:get"
UPDATE = "scheduled_operation:update"
DELETE = "scheduled_operation:delete"

_ALL = "/v1/{project_id}/scheduled_operations"
_ONE = f"{_ALL}/{{scheduled_operation_id}}"

RULES = (
    rule(CREATE, "Create a scheduled operation.", ("POST", _ALL)),
    rule(LIST, "List scheduled operations.", ("GET", _ALL)),
    rule(
        GET,
        "Show a scheduled operation, and what came of each time it was to run.",
        ("GET", _ONE),
        ("GET", f"{_ONE}/occurrences"),
        ("GET", f"{_ONE}/retention"),
        ("POST", f"{_ONE}/retention"),
    ),
    rule(UPDATE, "Change, enable or disable a scheduled operation.", ("PUT", _ONE)),
    rule(DELETE, "Delete a scheduled operation.", ("DELETE", _ONE)),
)
