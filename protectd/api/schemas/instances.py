"""Bodies of /protectables/{type}/instances. What stands in `properties` is the plug-in's to check."""

from __future__ import annotations

from protectd.api.schemas.common import NAME, closed, wrapped

KEY = "instance"

CREATE = wrapped(KEY, closed({"name": NAME, "properties": {"type": "object"}}, ["name", "properties"]))
