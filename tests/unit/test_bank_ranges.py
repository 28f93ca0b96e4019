"""Parts over HTTP: what counts as the part that was asked for."""

from __future__ import annotations

import pytest

from protectd.plugin.banks.ranges import Part, part_of, range_header
from protectd.plugin.banks.statuses import failure
from protectd.plugin.base import BankRefused, BankUnavailable


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [(0, -1, {}), (5, -1, {"Range": "bytes=5-"}), (0, 1, {"Range": "bytes=0-0"})]
    + [(5, 10, {"Range": "bytes=5-14"})],
)
def test_asks_for_a_part(offset: int, length: int, expected: dict[str, str]) -> None:
    assert range_header(offset, length) == expected


@pytest.mark.parametrize(
    ("content_range", "size"),
    [("bytes 5-14/100", 10), ("bytes 5-14/*", 10), ("bytes 5-9/10", 5), ("bytes 5-14/15", 10)],
)
def test_takes_the_part_up_to_the_end_of_the_object(content_range: str, size: int) -> None:
    assert part_of(206, {"Content-Range": content_range}, "k", 5, 10) == Part(0, size)


@pytest.mark.parametrize(
    "content_range",
    ["bytes 5-9/100", "bytes 5-9/*", "bytes 4-14/100", "bytes 0-9/100", "bytes 5-15/100", "bytes 6-14/15"],
)
def test_another_part_or_less_is_unavailable(content_range: str) -> None:
    with pytest.raises(BankUnavailable):
        part_of(206, {"Content-Range": content_range}, "k", 5, 10)


@pytest.mark.parametrize("content_range", ["bytes 5-9/100", "bytes 5-9/*"])
def test_all_to_the_end_is_all_to_the_end(content_range: str) -> None:
    with pytest.raises(BankUnavailable):
        part_of(206, {"Content-Range": content_range}, "k", 5, -1)


@pytest.mark.parametrize("content_range", ["", "items 5-14/100", "bytes 5-14", "bytes */100"])
def test_a_part_that_does_not_say_which_is_refused(content_range: str) -> None:
    with pytest.raises(BankRefused):
        part_of(206, {"Content-Range": content_range}, "k", 5, 10)


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [(5, 10, Part(5, 10)), (5, -1, Part(5, 15)), (15, 10, Part(15, 5)), (30, 10, Part(20, 0))],
)
def test_finds_the_part_in_the_whole(offset: int, length: int, expected: Part) -> None:
    assert part_of(200, {"Content-Length": "20"}, "k", offset, length) == expected


def test_behind_the_end_is_nothing() -> None:
    assert part_of(416, {}, "k", 5, 10) == Part(0, 0)
    assert part_of(206, {"Content-Range": "bytes 99-9/10"}, "k", 99, 1) == Part(0, 0)


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "x"}, {"Content-Length": "٣"}])
def test_an_answer_without_a_length_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(BankRefused):
        part_of(200, headers, "k", 0, -1)


def test_an_answer_that_was_changed_is_refused() -> None:
    with pytest.raises(BankRefused):
        part_of(200, {"Content-Length": "20", "Content-Encoding": "gzip"}, "k", 0, -1)


@pytest.mark.parametrize("status", [408, 409, 423, 425, 429, 500, 502, 503, 504, 599])
def test_some_statuses_are_tried_again(status: int) -> None:
    assert isinstance(failure(status, "k"), BankUnavailable)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 411, 413, 501, 505, 507])
def test_others_are_final(status: int) -> None:
    assert isinstance(failure(status, "k"), BankRefused)
    assert str(status) in str(failure(status, "k"))
