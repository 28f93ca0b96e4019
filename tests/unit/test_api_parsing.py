"""JSON that every reader would read alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protectd.api.errors import MalformedBody
from protectd.api.parsing import MAX_DEPTH, MAX_INTEGER, parse_json

SCALAR = (
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(-1e18, 1e18)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
)
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
VALUES = st.recursive(SCALAR, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=20)


@given(VALUES)
def test_plain_json_comes_back_as_it_was(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@given(st.binary())
def test_any_bytes_are_a_value_or_one_kind_of_error(raw: bytes) -> None:
    try:
        parse_json(raw)
    except MalformedBody as error:
        assert error.facts["field"]


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ("NaN", "body"),
        ("[-Infinity]", "body"),
        ("1e999", "body"),
        (f"[0, {MAX_INTEGER + 1}]", "1"),
        ("[0, 1" + "0" * 400 + "]", "1"),
        ("-1" + "0" * 4000, "body"),
        ("1" * 5000, "body"),
        ('{"a": {"b": 1, "b": 2}}', "b"),
        ('{"a": ["x\\u0000"]}', "a.0"),
        ('{"a\\u0000": 1}', "a?"),
        ('{"a": "\\ud83d"}', "a"),
        ('{"\\ud83d": 1}', "\\ud83d"),
        ("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), "0.0.0"),
        ("[" * 100_000, "body"),
        ("{} {}", "body"),
        ("'a'", "body"),
        ("", "body"),
    ],
)
def test_what_readers_disagree_about_is_refused_by_its_place(raw: str, field: str) -> None:
    with pytest.raises(MalformedBody) as caught:
        parse_json(raw.encode())
    assert str(caught.value.facts["field"]).startswith(field)


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert parse_json(b'"\\ud83d\\ude00"') == "\U0001f600"


def test_one_of_very_many_names_that_is_given_twice_is_found() -> None:
    names = [f"n{number}" for number in range(60_000)]
    members = ", ".join(f'"{name}": 0' for name in [*names, "n59999"])
    with pytest.raises(MalformedBody) as caught:
        parse_json(f'{{"plan": {{{members}}}}}'.encode())
    assert caught.value.facts == {"field": "n59999", "reason": "is given twice"}
