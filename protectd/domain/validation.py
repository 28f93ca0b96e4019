"""Values against JSON Schema (Draft 2020-12): the first field that does not fit is named, never its value."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.validators import extend

from protectd.common.errors import InvalidField
from protectd.common.fields import join, shown
from protectd.common.ids import is_uuid_like
from protectd.plugin.base import MUST

Schema = Mapping[str, Any]

_FORMATS = FormatChecker(formats=())
_FORMATS.checks("uuid")(lambda value: not isinstance(value, str) or is_uuid_like(value))

_SPACE = r"\t-\r\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""White space, one character after the other: readers of JSON Schema differ in what `\\s` is."""

NOT_BLANK = rf"^[^\u0000]*[^{_SPACE}\u0000][^\u0000]*$"
PRINTABLE = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$"
NO_NUL = r"^[^\u0000]*$"
TRIMMED = rf"^[^{_SPACE}\u0000]([^\u0000]*[^{_SPACE}\u0000])?$"
"""Databases differ in whether a space at the end of a name counts."""

_TYPES = {
    "object": "an object",
    "array": "a list",
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}

_FORMAT_REASONS = {"uuid": "must be a UUID"}

_PATTERN_REASONS = {
    NOT_BLANK: "must not be blank",
    PRINTABLE: "must have printable characters only",
    NO_NUL: "must not have a NUL character",
    TRIMMED: "must not begin or end with white space",
}


def _type_reason(wanted: Any) -> str:
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    return "must be " + " or ".join(_TYPES.get(name, name) for name in names)


def _spelled(value: Any) -> str:
    """As it stands in a body, without quotes."""
    return value if isinstance(value, str) else json.dumps(value)


_REASONS: dict[str, Callable[[Any], str]] = {
    "type": _type_reason,
    "required": lambda _: "is required",
    "additionalProperties": lambda _: "is not a known field",
    "enum": lambda allowed: "must be one of " + ", ".join(dict.fromkeys(map(_spelled, allowed))),
    "minLength": lambda length: f"must have at least {length} characters",
    "maxLength": lambda length: f"must have at most {length} characters",
    "minItems": lambda count: f"must have at least {count} entries",
    "maxItems": lambda count: f"must have at most {count} entries",
    "minProperties": lambda count: f"must have at least {count} fields",
    "maxProperties": lambda count: f"must have at most {count} fields",
    "minimum": lambda bound: f"must be at least {bound}",
    "maximum": lambda bound: f"must be at most {bound}",
    "format": lambda name: _FORMAT_REASONS.get(name, f"is no {name}"),
    "pattern": lambda pattern: _PATTERN_REASONS.get(pattern, "is not valid"),
}


def _unless_more(keyword: str, limit: str) -> Callable[..., Iterator[ValidationError]]:
    """`keyword`, but a value that has more than its `limit` is not looked through: that is told already, and
    there may be hundreds of thousands to complain of."""
    look_through = Draft202012Validator.VALIDATORS[keyword]

    def check_keyword(
        validator: Any, wanted: Any, value: Any, schema: Mapping[str, Any]
    ) -> Iterator[ValidationError]:
        most = schema.get(limit)
        if most is None or not isinstance(value, (list, dict)) or len(value) <= most:
            yield from look_through(validator, wanted, value, schema) or ()

    return check_keyword


def _check_pattern(
    validator: Any, pattern: str, value: Any, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    """`$` is the very end, as for others who read JSON Schema: Python's stands before a last newline, too."""
    if isinstance(value, str) and not re.search(_ends_at_the_end(pattern), value):
        yield ValidationError("does not match")


@lru_cache(maxsize=256)
def _ends_at_the_end(pattern: str) -> re.Pattern[str]:
    return re.compile(f"{pattern[:-1]}\\Z" if pattern.endswith("$") else pattern)


_Validator = extend(
    Draft202012Validator,
    {
        "pattern": _check_pattern,
        "items": _unless_more("items", "maxItems"),
        "additionalProperties": _unless_more("additionalProperties", "maxProperties"),
        "patternProperties": _unless_more("patternProperties", "maxProperties"),
    },
)


def check(value: Any, schema: Schema, path: str = "", error: type[InvalidField] = InvalidField) -> None:
    """:param path: where `value` stands in the request.
    :raises InvalidField: (or the given kind of it) names the first field that does not fit."""
    validator = _Validator(dict(schema), format_checker=_FORMATS)
    worst = min(validator.iter_errors(value), key=_place, default=None)
    if worst is not None:
        reason = _REASONS.get(str(worst.validator), lambda _: "is not valid")(worst.validator_value)
        if worst.validator == "pattern" and isinstance(worst.schema, Mapping):
            reason = worst.schema.get(MUST, reason)
        raise error(field=_field(worst, path) or "body", reason=reason)


def _place(error: ValidationError) -> tuple[bool, list[str], bool]:
    """What is wrong comes before what is missing, and a name that is not known before all at its place: it is
    often the missing one, misspelt."""
    path = [str(part) for part in error.absolute_path]
    return error.validator == "required", path, error.validator != "additionalProperties"


def _field(error: ValidationError, path: str) -> str:
    for part in error.absolute_path:
        path = join(path, shown(part))
    culprit = _culprit(error)
    return path if culprit is None else join(path, shown(culprit))


def _culprit(error: ValidationError) -> str | None:
    """The member that is missing or one too many: the error itself points at the object."""
    members: dict[str, Any] = error.instance if isinstance(error.instance, dict) else {}
    if error.validator == "required":
        return next((str(name) for name in error.validator_value if name not in members), None)
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {}) if isinstance(error.schema, Mapping) else {}
        return next((name for name in members if name not in known), None)
    return None
