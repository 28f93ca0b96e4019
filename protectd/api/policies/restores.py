"""Rules of /restores."""

from __future__ import annotations

from protectd.api.policies.base import rule

CREATE = "restore:create"
GET_ALL = "restore:get_all"
GET = "restore:get"
CANCEL = "restore:cancel"

_ALL = "/v1/{project_id}/restores"
_ONE = f"{_ALL}/{{restore_id}}"

RULES = (
    rule(CREATE, "Start a restore.", ("POST", _ALL)),
    rule(GET_ALL, "List restores.", ("GET", _ALL)),
    rule(GET, "Show a restore.", ("GET", _ONE)),
    rule(CANCEL, "Ask a restore to end.", ("DELETE", _ONE)),
)
