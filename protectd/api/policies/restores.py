"""Rules of /restores."""

from __future__ import annotations

from protectd.api.policies.base import rule

CREATE = "restore:create"
GET_ALL = "restore:get_all"
GET = "restore:get"

_ALL = "/v1/{project_id}/restores"

RULES = (
    rule(CREATE, "Start a restore.", ("POST", _ALL)),
    rule(GET_ALL, "List restores.", ("GET", _ALL)),
    rule(GET, "Show a restore.", ("GET", f"{_ALL}/{{restore_id}}")),
)
