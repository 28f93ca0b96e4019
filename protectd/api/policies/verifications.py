"""Rules of /verifications."""

from __future__ import annotations

from protectd.api.policies.base import rule

CREATE = "verification:create"
GET_ALL = "verification:get_all"
GET = "verification:get"

_ALL = "/v1/{project_id}/verifications"

RULES = (
    rule(CREATE, "Start a verification.", ("POST", _ALL)),
    rule(GET_ALL, "List verifications.", ("GET", _ALL)),
    rule(GET, "Show a verification.", ("GET", f"{_ALL}/{{verification_id}}")),
)
