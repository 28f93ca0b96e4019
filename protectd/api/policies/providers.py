"""Rules of /providers."""

from __future__ import annotations

from protectd.api.policies.base import rule

GET_ALL = "provider:get_all"
GET = "provider:get"

RULES = (
    rule(GET_ALL, "List providers.", ("GET", "/v1/{project_id}/providers")),
    rule(GET, "Show a provider.", ("GET", "/v1/{project_id}/providers/{provider_id}")),
)
