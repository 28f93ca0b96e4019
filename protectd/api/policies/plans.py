"""Rules of /plans."""

from __future__ import annotations

from protectd.api.policies.base import rule

CREATE = "plan:create"
GET_ALL = "plan:get_all"
GET = "plan:get"
UPDATE = "plan:update"
DELETE = "plan:delete"

_ALL = "/v1/{project_id}/plans"
_ONE = f"{_ALL}/{{plan_id}}"

RULES = (
    rule(CREATE, "Create a plan.", ("POST", _ALL)),
    rule(GET_ALL, "List plans.", ("GET", _ALL)),
    rule(
        GET,
        "Show a plan, and what retention keeps of it.",
        ("GET", _ONE),
        ("GET", f"{_ONE}/retention"),
    ),
    rule(UPDATE, "Change a plan.", ("PUT", _ONE)),
    rule(DELETE, "Delete a plan.", ("DELETE", _ONE)),
)
