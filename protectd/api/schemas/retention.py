"""Bodies and answers of the retention of a scheduled operation, and of a plan."""

from __future__ import annotations

from protectd.api.schemas.common import (
    ERROR,
    FLAG,
    MOMENT,
    STRING,
    UUID,
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


_ACTION: Schema = {"enum": ["keep", "remove"]}
_VERDICT: Schema = {
    "checkpoint_id": STRING,
    "provider_id": STRING,
    "source_id": either({"type": "null"}, STRING),
    "taken_at": MOMENT,
    "action": _ACTION,
    "reasons": array(STRING),
    "partial": FLAG,
    "failed": FLAG,
    "damaged": FLAG,
}
VERDICT = shape(_VERDICT)
REMOVED = shape({"checkpoint_id": STRING, "reasons": array(STRING)})
RUN = shape({"ended_at": MOMENT, "status": STRING, "removed": array(REMOVED)})

_RULES: Schema = {
    "rules": {"type": "object"},
    "time_zone": STRING,
    "halted": either({"type": "null"}, STRING),
    "error": ERROR,
}

ONE = wrapped(
    KEY,
    shape(
        {
            **_RULES,
            "checkpoints": array(VERDICT),
            "last_run": either({"type": "null"}, RUN),
        }
    ),
)

_SAID: Schema = {"scheduled_operation_id": UUID, "action": _ACTION, "reasons": array(STRING)}

OF_PLAN = wrapped(
    KEY,
    shape(
        {
            "operations": array(shape({"scheduled_operation_id": UUID, "name": STRING, **_RULES})),
            "checkpoints": array(shape({**_VERDICT, "verdicts": array(shape(_SAID))})),
        }
    ),
)
"""What each of the plan's scheduled operations says, and what comes of it."""
