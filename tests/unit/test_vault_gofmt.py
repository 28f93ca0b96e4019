from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta, timezone

import pytest

from protectd.vault.errors import FormatError
from protectd.vault.gofmt import (
    datetime_text,
    go_mode,
    go_quote,
    go_time,
    go_unquote,
    name_json,
    parse_datetime,
    parse_go_time,
    string_json,
    unix_mode,
)

QUOTED = [
    (b"plain", "plain"),
    (b'a"b\\c', r"a\"b\\c"),
    (b"\a\b\f\n\r\t\v", r"\a\b\f\n\r\t\v"),
    (b"\x00\x01\x1f\x7f", r"\x00\x01\x1f\x7f"),
    (b"\xff\xfe", r"\xff\xfe"),
    (b"\xe2\x82", r"\xe2\x82"),
    (b"\xed\xa0\x80", r"\xed\xa0\x80"),
    ("é日😀".encode(), "é日😀"),
    ("\u00a0\u200b\u2028\ufeff\u00ad\ue000".encode(), r"\u00a0\u200b\u2028\ufeff\u00ad\ue000"),
    ("\U000e0001\U0010ffff".encode(), r"\U000e0001\U0010ffff"),
    ("\u0085".encode(), r"\u0085"),
    ("\ufffd".encode(), "\ufffd"),
]


@pytest.mark.parametrize(("raw", "text"), QUOTED)
def test_names_are_quoted_as_go_does_and_come_back(raw: bytes, text: str) -> None:
    assert go_quote(raw) == text
    assert go_unquote(text) == raw


@pytest.mark.parametrize(
    ("raw", "json"),
    [
        (b"plain name-1.txt", b"plain name-1.txt"),
        (b"a\nb", rb"a\\nb"),
        (b'"', rb"\\\""),
        (b"\\", rb"\\\\"),
        (b"<&>", rb"\u003c\u0026\u003e"),
        ("\u2028".encode(), rb"\\u2028"),
        ("é".encode(), "é".encode()),
    ],
)
def test_a_name_in_json_is_quoted_first_and_escaped_then(raw: bytes, json: bytes) -> None:
    assert name_json(raw) == json


@pytest.mark.parametrize(
    ("raw", "json"),
    [
        (b"plain", b"plain"),
        (b"\n\r\t", rb"\n\r\t"),
        (b"\b\f\x00\x1f", rb"\u0008\u000c\u0000\u001f"),
        (b"\x7f", b"\x7f"),
        ("\u2028\u2029".encode(), rb"\u2028\u2029"),
        (b"a\xffb", rb"a\ufffdb"),
    ],
)
def test_other_strings_are_escaped_once(raw: bytes, json: bytes) -> None:
    assert string_json(raw) == json


@pytest.mark.parametrize(
    "text", ["\\", "a\\q", '"', "a\nb", r"\x4", r"\ud800", r"\U00110000", r"\u12", r"\400", "\\'"]
)
def test_text_that_go_would_not_write_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        go_unquote(text)


def test_octal_escapes_are_read() -> None:
    assert go_unquote(r"\101\377") == b"A\xff"


TIMES = [
    (0, "1970-01-01T00:00:00Z"),
    (1, "1970-01-01T00:00:00.000000001Z"),
    (-1, "1969-12-31T23:59:59.999999999Z"),
    (1_700_000_000_120_000_000, "2023-11-14T22:13:20.12Z"),
    (-62_135_596_800_000_000_000, "0001-01-01T00:00:00Z"),
    (-62_167_219_200_000_000_000, "0000-01-01T00:00:00Z"),
    (253_402_300_799_000_000_000, "9999-12-31T23:59:59Z"),
    (951_782_400_000_000_000, "2000-02-29T00:00:00Z"),
]


@pytest.mark.parametrize(("moment", "text"), TIMES)
def test_times_are_written_in_utc_without_trailing_zeros(moment: int, text: str) -> None:
    assert go_time(moment).decode() == text
    assert parse_go_time(text) == moment


def test_years_outside_of_four_digits_are_clamped_and_keep_the_rest() -> None:
    assert go_time(253_402_300_800 * 10**9 + 5) == b"9999-01-01T00:00:00.000000005Z"
    assert go_time(-62_167_219_201 * 10**9) == b"0000-12-31T23:59:59Z"
    leap_day_10000 = (253_402_300_800 + 59 * 86400) * 10**9
    assert go_time(leap_day_10000) == b"9999-03-01T00:00:00Z"
    assert go_time(2**63 * 10**9).startswith(b"9999")


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2023-11-15T03:43:20.12+05:30", "2023-11-14T22:13:20.12Z"),
        ("2023-11-14T14:13:20.12-08:00", "2023-11-14T22:13:20.12Z"),
        ("2023-11-14T22:13:20.1234567899Z", "2023-11-14T22:13:20.123456789Z"),
    ],
)
def test_times_of_other_zones_are_understood(text: str, same: str) -> None:
    assert parse_go_time(text) == parse_go_time(same)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2023-13-01T00:00:00Z",
        "2023-01-01T24:00:00Z",
        "2023-01-01T00:00:00",
        "\uff12023-01-01T00:00:00Z",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        parse_go_time(text)


def test_datetimes_keep_their_microseconds() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=timezone(timedelta(hours=2)))
    assert datetime_text(moment) == "2026-01-02T01:04:05.678Z"
    assert parse_datetime(datetime_text(moment)) == moment
    assert parse_datetime("2026-01-02T01:04:05.678999999Z").tzinfo is UTC
    before = datetime(1950, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    assert parse_datetime(datetime_text(before)) == before
    with pytest.raises(FormatError):
        parse_datetime("0000-01-01T00:00:00Z")


MODES = [
    (stat.S_IFREG | 0o644, "file", 0o644),
    (stat.S_IFREG, "file", 0),
    (stat.S_IFREG | 0o7777, "file", 0o777 | 1 << 23 | 1 << 22 | 1 << 20),
    (stat.S_IFDIR | 0o1777, "dir", 1 << 31 | 1 << 20 | 0o777),
    (stat.S_IFLNK | 0o777, "symlink", 1 << 27 | 0o777),
    (stat.S_IFBLK | 0o660, "dev", 1 << 26 | 0o660),
    (stat.S_IFCHR | 0o666, "chardev", 1 << 26 | 1 << 21 | 0o666),
    (stat.S_IFIFO | 0o600, "fifo", 1 << 25 | 0o600),
    (stat.S_IFSOCK | 0o600, "socket", 1 << 24 | 0o600),
]


@pytest.mark.parametrize(("mode", "kind", "go"), MODES)
def test_modes_go_both_ways(mode: int, kind: str, go: int) -> None:
    assert go_mode(mode) == (kind, go)
    assert unix_mode(kind, go) == mode


def test_a_kind_that_is_not_known_is_refused() -> None:
    with pytest.raises(FormatError):
        unix_mode("irregular", 0)
    with pytest.raises(FormatError):
        go_mode(0)
