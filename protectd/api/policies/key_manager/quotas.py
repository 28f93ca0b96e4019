"""Rules of /v1/quotas and /v1/project-quotas."""

from __future__ import annotations

from protectd.api.policies.base import rule
from protectd.api.policies.key_manager.checks import READER, SERVICE_ADMIN

GET = "quotas:get"
GET_PROJECTS = "project_quotas:get"
PUT = "project_quotas:put"
DELETE = "project_quotas:delete"

_ALL = "/v1/project-quotas"
_ONE = f"{_ALL}/{{quota_project_id}}"

RULES = (
    rule(GET, "Show the quotas that hold for the project.", ("GET", "/v1/quotas"), check=READER),
    rule(
        GET_PROJECTS, "Show the quotas that projects have.", ("GET", _ALL), ("GET", _ONE), check=SERVICE_ADMIN
    ),
    rule(PUT, "Change what a project may have of secrets.", ("PUT", _ONE), check=SERVICE_ADMIN),
    rule(DELETE, "Give a project the quotas that others have.", ("DELETE", _ONE), check=SERVICE_ADMIN),
)
