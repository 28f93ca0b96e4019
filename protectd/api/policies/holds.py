"""Rules of /providers/{provider_id}/checkpoints/{checkpoint_id}/hold."""

from __future__ import annotations

from protectd.api.policies.base import ADMIN, rule

GET = "checkpoint_hold:get"
PLACE = "checkpoint_hold:place"
LIFT = "checkpoint_hold:lift"

_ONE = "/v1/{project_id}/providers/{provider_id}/checkpoints/{checkpoint_id}/hold"

RULES = (
    rule(GET, "Show the hold of a checkpoint.", ("GET", _ONE)),
    rule(PLACE, "Keep a checkpoint from being deleted.", ("PUT", _ONE)),
    rule(LIFT, "Let a checkpoint be deleted again.", ("DELETE", _ONE), check=ADMIN),
)
