"""Rules of /protectables."""

from __future__ import annotations

from protectd.api.policies.base import rule

GET_ALL = "protectable:get_all"
GET = "protectable:get"
INSTANCE_GET_ALL = "protectable:instance_get_all"
INSTANCE_GET = "protectable:instance_get"
INSTANCE_CREATE = "protectable:instance_create"

_TYPE = "/v1/{project_id}/protectables/{protectable_type}"

RULES = (
    rule(GET_ALL, "List the types that can be protected.", ("GET", "/v1/{project_id}/protectables")),
    rule(GET, "Show a type.", ("GET", _TYPE)),
    rule(INSTANCE_GET_ALL, "List instances of a type.", ("GET", f"{_TYPE}/instances")),
    rule(INSTANCE_GET, "Show an instance.", ("GET", f"{_TYPE}/instances/{{instance_id}}")),
    rule(INSTANCE_CREATE, "Register an instance.", ("POST", f"{_TYPE}/instances")),
)
