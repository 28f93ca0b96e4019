"""Bodies of /v1/project-quotas."""

from __future__ import annotations

from protectd.api.parsing import MAX_INTEGER
from protectd.api.schemas.common import Schema, closed, wrapped
from protectd.domain.validation import PRINTABLE
from protectd.model.repositories.quotas import KEY_MANAGER

KEY = "project_quotas"

PROJECT_ID: Schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": PRINTABLE}

LIMIT: Schema = {"type": "integer", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER}
"""Each negative number: no limit."""

UPDATE = wrapped(KEY, closed(dict.fromkeys(KEY_MANAGER, LIMIT)))
