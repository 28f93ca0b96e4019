"""Bodies of /providers/{provider_id}/checkpoints."""

from __future__ import annotations

from protectd.api.schemas.common import METADATA, UUID, closed, wrapped

KEY = "checkpoint"

CREATE = wrapped(KEY, closed({"plan_id": UUID, "extra-info": METADATA, "extra_info": METADATA}, ["plan_id"]))
"""Clients write `extra-info`, the documentation of the contract `extra_info`."""
