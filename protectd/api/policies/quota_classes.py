"""Rules of /quota_classes."""

from __future__ import annotations

from protectd.api.policies.base import ADMIN, rule

GET = "quota_class:get"
UPDATE = "quota_class:update"

_ONE = "/v1/{project_id}/quota_classes/{class_name}"

RULES = (
    rule(GET, "Show the quotas of a class of projects.", ("GET", _ONE), check=ADMIN),
    rule(UPDATE, "Change the quotas of a class of projects.", ("PUT", _ONE), check=ADMIN),
)
