"""Rules of /providers/{provider_id}/checkpoints."""

from __future__ import annotations

from protectd.api.policies.base import rule

CREATE = "provider:checkpoint_create"
GET_ALL = "provider:checkpoint_get_all"
GET = "provider:checkpoint_get"
UPDATE = "provider:checkpoint_update"
DELETE = "provider:checkpoint_delete"

_ALL = "/v1/{project_id}/providers/{provider_id}/checkpoints"
_ONE = f"{_ALL}/{{checkpoint_id}}"

RULES = (
    rule(CREATE, "Make a checkpoint of a plan.", ("POST", _ALL)),
    rule(GET_ALL, "List checkpoints.", ("GET", _ALL)),
    rule(GET, "Show a checkpoint.", ("GET", _ONE)),
    rule(UPDATE, "Set the state of a checkpoint.", ("PUT", _ONE)),
    rule(DELETE, "Delete a checkpoint.", ("DELETE", _ONE)),
)
