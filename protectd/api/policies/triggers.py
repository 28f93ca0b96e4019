"""Rules of /triggers."""

from __future__ import annotations

from protectd.api.policies.base import rule

CREATE = "trigger:create"
LIST = "trigger:list"
GET = "trigger:get"
UPDATE = "trigger:update"
DELETE = "trigger:delete"

_ALL = "/v1/{project_id}/triggers"
_ONE = f"{_ALL}/{{trigger_id}}"

RULES = (
    rule(CREATE, "Create a trigger.", ("POST", _ALL)),
    rule(LIST, "List triggers.", ("GET", _ALL)),
    rule(GET, "Show a trigger.", ("GET", _ONE)),
    rule(UPDATE, "Change a trigger, or give it a new secret.", ("PUT", _ONE)),
    rule(DELETE, "Delete a trigger.", ("DELETE", _ONE)),
)
