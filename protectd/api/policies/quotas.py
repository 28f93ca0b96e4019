"""Rules of /quotas."""

from __future__ import annotations

from protectd.api.policies.base import ADMIN, rule

GET = "quota:get"
GET_DEFAULT = "quota:get_default"
UPDATE = "quota:update"
DELETE = "quota:delete"

_ONE = "/v1/{project_id}/quotas/{quota_project_id}"

RULES = (
    rule(GET, "Show a project's quotas, and what it has in use.", ("GET", _ONE), ("GET", f"{_ONE}/detail")),
    rule(GET_DEFAULT, "Show the quotas of a project without its own.", ("GET", f"{_ONE}/defaults")),
    rule(UPDATE, "Change a project's quotas.", ("PUT", _ONE), check=ADMIN),
    rule(DELETE, "Give a project the quotas that others have.", ("DELETE", _ONE), check=ADMIN),
)
