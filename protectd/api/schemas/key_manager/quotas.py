"""Bodies and answers of /v1/quotas and /v1/project-quotas."""

from __future__ import annotations

from protectd.api.parsing import MAX_INTEGER
from protectd.api.schemas.common import STRING, Schema, closed, shape, wrapped
from protectd.api.schemas.key_manager.common import page_of
from protectd.domain.validation import PRINTABLE
from protectd.model.repositories.quotas import KEY_MANAGER

KEY = "project_quotas"

PROJECT_ID: Schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": PRINTABLE}

IN_PATH: Schema = PROJECT_ID | {"pattern": PRINTABLE.replace("[^", "[^/")}

LIMIT: Schema = {"type": "integer", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER}
"""Each negative number: no limit."""

UPDATE = wrapped(KEY, closed(dict.fromkeys(KEY_MANAGER, LIMIT)))

# --- answers ---

_SHOWN = shape(dict.fromkeys(KEY_MANAGER, {"type": ["integer", "null"]}))

ONE = wrapped(KEY, _SHOWN)
EFFECTIVE = wrapped("quotas", shape(dict.fromkeys(KEY_MANAGER, {"type": "integer"})))
PAGE = page_of(KEY, shape({"project_id": STRING, KEY: _SHOWN}))
