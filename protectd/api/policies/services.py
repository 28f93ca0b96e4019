"""Rules of /os-services."""

from __future__ import annotations

from protectd.api.policies.base import ADMIN, rule

GET_ALL = "service:get_all"
UPDATE = "service:update"
DELETE = "service:delete"

_ALL = "/v1/{project_id}/os-services"
_ONE = f"{_ALL}/{{service_id}}"

RULES = (
    rule(GET_ALL, "List the daemons and their heartbeats.", ("GET", _ALL), check=ADMIN),
    rule(UPDATE, "Let a daemon take work, or none.", ("PUT", _ONE), check=ADMIN),
    rule(DELETE, "Remove a daemon that is gone.", ("DELETE", _ONE), check=ADMIN),
)
