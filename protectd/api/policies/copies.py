"""Rules of /providers/{provider_id}/checkpoints/action."""

from __future__ import annotations

from protectd.api.policies.base import rule

CREATE = "copy:create"

_PATH = "/v1/{project_id}/providers/{provider_id}/checkpoints/action"

RULES = (rule(CREATE, "Copy the checkpoints of a plan to another provider.", ("POST", _PATH)),)
