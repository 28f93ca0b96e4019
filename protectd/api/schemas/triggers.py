"""Bodies and answers of /triggers. What the properties mean is checked where they are read."""

from __future__ import annotations

from protectd.api.schemas.common import (
    FLAG,
    MAYBE_MOMENT,
    MOMENT,
    NAME,
    STRING,
    TYPE,
    UUID,
    Schema,
    array,
    closed,
    either,
    page_of,
    shape,
    words_to,
    wrapped,
)
from protectd.domain.providers import Protectables, Providers
from protectd.domain.schedules import MAX_JITTER_S, MAX_MISFIRES, RUN_ALL, RUN_ONCE, SKIP, ScheduleLimits
from protectd.domain.triggers import EVENT as OF_EVENTS
from protectd.domain.triggers import TIME
from protectd.domain.zones import known_zones

KEY = "trigger_info"

NULL: Schema = {"type": "null"}
"""A property that is taken away."""

_VALUE: Schema = {"type": ["string", "integer", "null"], "maxLength": 65536}

PROPERTIES: Schema = {"type": ["object", "null"], "maxProperties": 32, "additionalProperties": _VALUE}

CREATE = wrapped(KEY, closed({"name": NAME, "type": TYPE, "properties": PROPERTIES}, ["name", "type"]))

UPDATE = wrapped(
    KEY,
    closed({"name": NAME, "type": TYPE, "properties": PROPERTIES, "rotate_secret": FLAG})
    | {"minProperties": 1},
)
"""A type that is said again changes nothing: the contract's client sends it."""

_MINUTE, _HOUR = (
    r"(\*(/[1-9])?|[0-5]?[0-9](,[0-5]?[0-9])*)",
    r"(\*(/[1-9])?|(1?[0-9]|2[0-3])(,(1?[0-9]|2[0-3]))*)",
)
_PATTERNS = {
    "crontab": rf"^{_MINUTE} {_HOUR} (\*|[12]?[1-9]) \* (\*|[0-6](,[0-6])*)$",
    "calendar": r"^RRULE:FREQ=(HOURLY|DAILY|WEEKLY|MONTHLY)(;INTERVAL=[1-9])?(;BYDAY=(MO|TH|SU))?$",
}
"""Of what each language allows, a part that can be told in a schema; the rest is told where users read."""

_TIME_OF_DAY = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_DAY = "(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"


def _forms() -> list[Schema]:
    usual = ScheduleLimits()
    common: Schema = {
        "time_zone": {"enum": sorted(known_zones())},
        "start_time": {"type": "string", "pattern": f"^20[0-9][0-9]-{_DAY} {_TIME_OF_DAY}$"},
        "end_time": {"type": "string", "pattern": f"^2[2-4][0-9][0-9]-{_DAY} {_TIME_OF_DAY}$"},
        "window": {"type": "integer", "minimum": usual.min_window_s, "maximum": usual.max_window_s},
        "jitter": {"type": "integer", "minimum": 0, "maximum": MAX_JITTER_S},
    }
    common = {name: either(schema, NULL) for name, schema in common.items()}
    limit = {"type": ["integer", "null"], "minimum": 1, "maximum": MAX_MISFIRES}
    misfires: list[Schema] = [
        {"misfire": {"enum": [SKIP, RUN_ONCE, None]}, "misfire_limit": NULL},
        {"misfire": {"const": RUN_ALL}, "misfire_limit": limit},
    ]
    return [
        closed(
            {"format": {"const": name}, "pattern": {"type": "string", "pattern": pattern}} | common | misfire,
            ["format", "pattern", *(["misfire"] if "const" in misfire["misfire"] else [])],
        )
        for name, pattern in _PATTERNS.items()
        for misfire in misfires
    ]


def create_of(providers: Providers, protectables: Protectables) -> Schema:
    """CREATE, one form for each type."""
    timed = {"name": NAME, "type": {"const": TIME}, "properties": {"anyOf": _forms()}}
    asked = {"name": NAME, "type": {"const": OF_EVENTS}, "properties": either(closed({}), {"type": "null"})}
    forms = [closed(timed, ["name", "type", "properties"]), closed(asked, ["name", "type"])]
    return wrapped(KEY, {"anyOf": forms})


def update_of(providers: Providers, protectables: Protectables) -> Schema:
    properties = either({"type": "null"}, closed({}), *_forms())
    changes = {"name": NAME, "properties": properties, "rotate_secret": FLAG}
    return wrapped(KEY, closed(changes) | {"minProperties": 1})


_BRIEF: Schema = {
    "id": UUID,
    "name": STRING,
    "type": {"enum": [TIME, OF_EVENTS]},
    "properties": words_to(STRING),
    "project_id": STRING,
    "next_fire_time": MAYBE_MOMENT,
    "created_at": MOMENT,
    "updated_at": MOMENT,
}
_MORE: Schema = {
    "next_fire_times": array(MOMENT),
    "fire_path": STRING | {"description": "takes signed events"},
    "secret": STRING | {"description": "what events are signed with; shown once"},
}

ONE = wrapped(KEY, shape(_BRIEF | _MORE, list(_MORE)))
PAGE = page_of("triggers", shape(_BRIEF))
EVENT = wrapped("event", shape({"id": STRING, "trigger_id": UUID}))
