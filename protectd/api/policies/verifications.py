"""Rules of /verifications."""

from __future__ import annotations

from protectd.api.policies.base import rule

CREATE = "verification:create"
GET_ALL = "verification:get_all"
GET = "verification:get"
CANCEL = "verification:cancel"

_ALL = "/v1/{project_id}/verifications"
_ONE = f"{_ALL}/{{verification_id}}"

RULES = (
    rule(CREATE, "Start a verification.", ("POST", _ALL)),
    rule(GET_ALL, "List verifications.", ("GET", _ALL)),
    rule(GET, "Show a verification.", ("GET", _ONE)),
    rule(CANCEL, "Ask a verification to end.", ("DELETE", _ONE)),
)
