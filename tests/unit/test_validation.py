"""Values against schemas: what is named, and in which order."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from unicodedata import category

import jsonschema_rs
import pytest

from protectd.common.errors import InvalidField
from protectd.domain.validation import NOT_BLANK, TRIMMED, check

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2, "maxLength": 3, "pattern": NOT_BLANK},
        "id": {"type": "string", "format": "uuid"},
        "mode": {"enum": ["a", "b"]},
        "flag": {"enum": [True, False, "true", "True", 1]},
        "count": {"type": ["integer", "null"], "minimum": 1, "maximum": 9},
        "items": {"type": "array", "maxItems": 1, "items": {"type": "object", "required": ["x"]}},
    },
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "field", "reason"),
    [
        ([], "top", "must be an object"),
        ({}, "top.name", "is required"),
        ({"nmae": "ab"}, "top.nmae", "is not a known field"),
        ({"name": 1, "more": 1}, "top.more", "is not a known field"),
        ({"count": "x"}, "top.count", "must be an integer or null"),
        ({"name": "a"}, "top.name", "must have at least 2 characters"),
        ({"name": "abcd"}, "top.name", "must have at most 3 characters"),
        ({"name": "  "}, "top.name", "must not be blank"),
        ({"name": "ab", "id": "x"}, "top.id", "must be a UUID"),
        ({"name": "ab", "mode": "c"}, "top.mode", "must be one of a, b"),
        ({"name": "ab", "flag": 1.5}, "top.flag", "must be one of true, false, True, 1"),
        ({"name": "ab", "count": 0}, "top.count", "must be at least 1"),
        ({"name": "ab", "count": 10}, "top.count", "must be at most 9"),
        ({"name": "ab", "items": [{}]}, "top.items.0.x", "is required"),
        ({"name": "ab", "items": [{"x": 1}, {"x": 1}]}, "top.items", "must have at most 1 entries"),
        ({"name": "ab", "a\nb": 1}, "top.a?b", "is not a known field"),
        ({"name": "ab", "é" * 100: 1}, "top." + ("\\xe9" * 16), "is not a known field"),
    ],
)
def test_the_first_field_that_does_not_fit_is_named(value: Any, field: str, reason: str) -> None:
    with pytest.raises(InvalidField) as caught:
        check(value, SCHEMA, "top")
    assert caught.value.facts == {"field": field, "reason": reason}


def test_what_fits_is_let_through() -> None:
    check({"name": "ab", "count": None, "items": []}, SCHEMA)


ODD = [each for each in map(chr, range(1, 0x10000)) if category(each) in ("Cc", "Cf", "Zs", "Zl", "Zp")]


@pytest.mark.parametrize("pattern", [NOT_BLANK, TRIMMED])
def test_white_space_is_what_it_is_for_others_who_read_the_schema(pattern: str) -> None:
    """Those for whom a pattern is ECMAScript's have another `\\s` than Python."""
    schema = {"type": "string", "pattern": pattern}
    theirs, fits = jsonschema_rs.validator_for(schema), []
    for each in ODD:
        with suppress(InvalidField):
            check(each, schema)
            fits.append(each)
    assert fits == [each for each in ODD if theirs.is_valid(each)]
    assert fits == [each for each in ODD if each.strip()]


def test_a_value_is_never_repeated() -> None:
    with pytest.raises(InvalidField) as caught:
        check({"password": {"type": "hush"}}, {"properties": {"password": {"type": "string"}}})
    assert "hush" not in str(caught.value)


class Unlooked(list[Any]):
    def __iter__(self) -> Any:
        raise AssertionError("it was looked through")


class UnlookedObject(dict[str, Any]):
    def __iter__(self) -> Any:
        raise AssertionError("it was looked through")


@pytest.mark.parametrize(
    ("value", "schema", "reason"),
    [
        (Unlooked([1, 2, 3]), {"items": {"type": "string"}, "maxItems": 2}, "must have at most 2 entries"),
        (
            UnlookedObject(a=1, b=1, c=1),
            {"additionalProperties": {"type": "string"}, "maxProperties": 2},
            "must have at most 2 fields",
        ),
        (
            UnlookedObject(a=1, b=1, c=1),
            {"patternProperties": {"a": {"type": "string"}}, "maxProperties": 2},
            "must have at most 2 fields",
        ),
    ],
)
def test_what_is_too_much_is_not_looked_through(value: Any, schema: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidField) as caught:
        check(value, schema, "top")
    assert caught.value.facts == {"field": "top", "reason": reason}
