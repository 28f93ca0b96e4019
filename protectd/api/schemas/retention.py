"""Bodies and answers of /scheduled_operations/{scheduled_operation_id}/retention."""

from __future__ import annotations

from protectd.api.schemas.common import (
    FLAG,
    MOMENT,
    STRING,
    Schema,
    array,
    closed,
    either,
    shape,
    wrapped,
)
from protectd.domain.providers import Protectables, Providers
from protectd.domain.retention import COUNT_PARTIAL, KEEP_WITHIN, KEYS, SCOPE, SCOPES

KEY = "retention"

_NUMBER: Schema = {"type": ["integer", "string", "null"], "pattern": "^ *-?[0-9]{1,9} *$"} | {
    "minimum": -999_999_999,
    "maximum": 999_999_999,
}
_FLAG: Schema = {"enum": [True, False, "true", "false", None]}

_OWN: dict[str, Schema] = {
    COUNT_PARTIAL: _FLAG,
    SCOPE: {"enum": [*SCOPES, None]},
    KEEP_WITHIN: {"type": ["string", "null"], "maxLength": 64},
}
RULES = closed({name: _OWN.get(name, _NUMBER) for name in KEYS})
TRY = wrapped(KEY, RULES)


def try_of(providers: Providers, protectables: Protectables) -> Schema:
    """TRY with the lengths of time that are understood most easily; others are told where users read."""
    within = {"type": ["string", "null"], "pattern": "^([1-9][0-9]?y)?([1-9][0-9]?m)?([1-9][0-9]?d)?$"}
    return wrapped(KEY, RULES | {"properties": RULES["properties"] | {KEEP_WITHIN: within}})


VERDICT = shape(
    {
        "checkpoint_id": STRING,
        "taken_at": MOMENT,
        "action": {"enum": ["keep", "remove"]},
        "reasons": array(STRING),
        "partial": FLAG,
    }
)
REMOVED = shape({"checkpoint_id": STRING, "reasons": array(STRING)})
RUN = shape({"ended_at": MOMENT, "status": STRING, "removed": array(REMOVED)})

ONE = wrapped(
    KEY,
    shape(
        {
            "rules": {"type": "object"},
            "time_zone": STRING,
            "halted": either({"type": "null"}, STRING),
            "checkpoints": array(VERDICT),
            "last_run": either({"type": "null"}, RUN),
        }
    ),
)
