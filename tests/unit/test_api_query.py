"""Query strings as the data-protection contract writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protectd.api.query import InvalidQuery, Query, parse

ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


def query(text: str, max_limit: int = 1000) -> Query:
    return Query(parse(text), max_limit)


@given(st.text())
def test_any_text_is_a_query_or_one_kind_of_error(text: str) -> None:
    try:
        made = query(text)
        made.page(["name"])
        made.flag("all_tenants")
    except InvalidQuery as error:
        assert error.facts["field"]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_an_object_or_refused(text: str) -> None:
    try:
        assert isinstance(Query({"parameters": text}, 1).mapping("parameters"), dict)
    except InvalidQuery as error:
        assert error.facts["field"] == "parameters"


@pytest.mark.parametrize(
    ("text", "limit", "sort"),
    [
        ("", 1000, (("created_at", "desc"),)),
        ("limit=7&sort=name", 7, (("name", "desc"),)),
        ("limit=5000&sort=name:asc,id", 1000, (("name", "asc"), ("id", "desc"))),
        ("sort_key=name", 1000, (("name", "desc"),)),
        ("sort_dir=asc", 1000, (("created_at", "asc"),)),
    ],
)
def test_pages_are_as_large_and_sorted_as_asked(text: str, limit: int, sort: Any) -> None:
    page = query(text).page(["id", "name", "created_at"])
    assert (page.limit, page.sort, page.marker, page.offset) == (limit, sort, None, 0)


def test_a_marker_may_be_spelt_in_any_way_a_uuid_can() -> None:
    assert query(f"marker={ID.replace('-', '').upper()}").page(["created_at"]).marker == ID


@pytest.mark.parametrize("word", ["true", "True", "1", "yes", "y"])
def test_words_for_true(word: str) -> None:
    assert query(f"all_tenants={word}").flag("all_tenants")


@pytest.mark.parametrize("word", ["false", "0", "No", "n"])
def test_words_for_false_and_silence(word: str) -> None:
    assert not query(f"all_tenants={word}").flag("all_tenants")
    assert not query("").flag("all_tenants")


def test_a_date_is_utc_and_as_an_end_the_whole_day() -> None:
    made = query("start_date=2020-01-31&end_date=2020-01-31")
    assert made.moment("start_date") == datetime(2020, 1, 31, tzinfo=UTC)
    assert made.moment("end_date", end=True) == datetime(2020, 2, 1, tzinfo=UTC)


def test_a_moment_may_bring_its_zone() -> None:
    made = query(urlencode({"start_date": "2020-01-31T01:00:00+02:00"}))
    assert made.moment("start_date") == datetime(2020, 1, 30, 23, tzinfo=UTC)


def test_the_next_page_keeps_the_rest_of_the_query() -> None:
    after = query("limit=2&name=a%26b&marker=x&offset=3").after(ID)
    assert parse_qs(after) == {"limit": ["2"], "name": ["a&b"], "marker": [ID]}
