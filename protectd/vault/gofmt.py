"""Text as Go writes it: quoted names, JSON strings, times, file modes.

Tree ids are hashes of such text, so every byte counts. Common input takes a path of one regular expression.
"""

from __future__ import annotations

import re
import stat
import time
from datetime import UTC, datetime
from functools import lru_cache

from protectd.vault.errors import FormatError

# Printable ASCII that neither Go's quoting nor its JSON encoder touches: not " \ < > &
_is_plain = re.compile(rb"[ !#-%'-;=?-\[\]-~]*").fullmatch

_SHORT_QUOTES = {
    0x07: r"\a", 0x08: r"\b", 0x0C: r"\f", 0x0A: r"\n", 0x0D: r"\r", 0x09: r"\t", 0x0B: r"\v",
    0x22: r"\"", 0x5C: r"\\",
}  # fmt: skip
_JSON_ESCAPES = {code: f"\\u{code:04x}" for code in (*range(0x20), 0x3C, 0x3E, 0x26, 0x2028, 0x2029)}
_JSON_ESCAPES |= {0x0A: r"\n", 0x0D: r"\r", 0x09: r"\t", 0x22: r"\"", 0x5C: r"\\"}
_JSON_ESCAPES |= {0xDC00 + byte: r"\ufffd" for byte in range(0x80, 0x100)}  # bytes that are no UTF-8


def name_json(name: bytes) -> bytes:
    """A file name as it stands between the quotes of a tree's JSON."""
    if _is_plain(name):
        return name
    return go_quote(name).translate(_JSON_ESCAPES).encode()


def string_json(text: bytes) -> bytes:
    """Any other string between the quotes; bytes that are no UTF-8 become U+FFFD, as in Go's JSON."""
    if _is_plain(text):
        return text
    return text.decode("utf-8", "surrogateescape").translate(_JSON_ESCAPES).encode()


def clean_text(text: str) -> str:
    """Text that any JSON encoder takes: what came from bytes that are no UTF-8 becomes U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def go_quote(name: bytes) -> str:
    """strconv.Quote without the outer quotes: printable text that gives back the very bytes."""
    return "".join(map(_quote_one, name.decode("utf-8", "surrogateescape")))


def _quote_one(char: str) -> str:
    code = ord(char)
    if (short := _SHORT_QUOTES.get(code)) is not None:
        return short
    if char.isprintable():
        return char
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_ESCAPE = re.compile(
    rb"""\\(?:([abfnrtv\\"])|x([0-9a-fA-F]{2})|([0-3][0-7]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))|\\|"|\n"""
)
_UNQUOTED = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def go_unquote(text: str) -> bytes:
    """The reverse of `go_quote`. :raises FormatError: the text is not quoted as Go does."""
    raw = text.encode()
    if b"\\" not in raw and b'"' not in raw and b"\n" not in raw:
        return raw
    return _ESCAPE.sub(_unquote_one, raw)


def _unquote_one(match: re.Match[bytes]) -> bytes:
    short, byte, octal, narrow, wide = match.groups()
    if short is not None:
        return _UNQUOTED.get(short, short)
    if byte is not None or octal is not None:
        return bytes([int(byte, 16) if byte is not None else int(octal, 8)])
    try:
        return chr(int(narrow or wide or b"", 16)).encode()
    except (ValueError, OverflowError):
        raise FormatError(reason=f"a name holds the escape {match.group().decode()!r}") from None


def go_time(moment_ns: int) -> bytes:
    """Nanoseconds since 1970 as Go's JSON has it, in UTC: `2006-01-02T15:04:05.999999999Z`."""
    seconds, nanoseconds = divmod(moment_ns, 1_000_000_000)
    if not nanoseconds:
        return _second(seconds) + b"Z"
    return (b"%s.%09d" % (_second(seconds), nanoseconds)).rstrip(b"0") + b"Z"


@lru_cache(maxsize=8192)
def _second(seconds: int) -> bytes:
    """The part up to the seconds. Years outside 0 to 9999 are clamped, the rest of the date stays."""
    try:
        year, *rest = time.gmtime(seconds)[:6]
    except (OverflowError, OSError):
        year, *rest = (9999, 12, 31, 23, 59, 59) if seconds > 0 else (0, 1, 1, 0, 0, 0)
    if rest[:2] == [2, 29] and year > 9999:  # 9999 is no leap year
        rest[:2] = [3, 1]
    return b"%04d-%02d-%02dT%02d:%02d:%02d" % (min(max(year, 0), 9999), *rest)


_is_time = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(?:Z|([+-]\d\d:\d\d))", re.ASCII
).fullmatch
_SCALES: tuple[int, ...] = tuple(10 ** (9 - digits) for digits in range(10))


def parse_go_time(text: str) -> int:
    """Nanoseconds since 1970. :raises FormatError: not a time."""
    digits = text[20:-1]
    # Nearly every time is in UTC, with a fraction, and needs no pattern.
    if text[19:20] == "." and text[-1] == "Z" and digits.isdecimal() and len(digits) < 10 and text.isascii():
        return _whole_nanoseconds(text[:19]) + int(digits) * _SCALES[len(digits)]
    match = _is_time(text)
    fraction = match.group(3) if match else None
    return _whole_seconds(text) * 1_000_000_000 + (int(fraction.ljust(9, "0")) if fraction else 0)


@lru_cache(maxsize=16384)
def _whole_nanoseconds(text: str) -> int:
    return _whole_seconds(text + "Z") * 1_000_000_000


@lru_cache(maxsize=16384)
def _whole_seconds(text: str) -> int:
    match = _is_time(text)
    if match is None:
        raise FormatError(reason=f"{text[:40]!r} is not a time")
    date, clock, _, zone = match.groups()
    return _date(date) + _clock(clock) - (_zone(zone) if zone else 0)


@lru_cache(maxsize=4096)
def _date(text: str) -> int:
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:])
    if not (1 <= month <= 12 and 1 <= day <= 31):
        raise FormatError(reason=f"{text} is no day")
    return _days(year, month, day) * 86400


@lru_cache(maxsize=4096)
def _clock(text: str) -> int:
    hour, minute, second = int(text[:2]), int(text[3:5]), int(text[6:])
    if hour > 23 or minute > 59 or second > 59:
        raise FormatError(reason=f"{text} is no time of day")
    return hour * 3600 + minute * 60 + second


def _zone(text: str) -> int:
    """Seconds east of Greenwich."""
    size = int(text[1:3]) * 3600 + int(text[4:]) * 60
    return -size if text[0] == "-" else size


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the proleptic Gregorian calendar, year 0 included."""
    # Years that begin in March put the leap day last; 719468 days lie between 0000-03-01 and 1970-01-01.
    years = year - (month <= 2)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return years * 365 + years // 4 - years // 100 + years // 400 + day_of_year - 719468


def datetime_text(moment: datetime) -> str:
    """An aware time as Go's JSON has it, microseconds, in UTC."""
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return go_time((since.days * 86400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000).decode()


def parse_datetime(text: str) -> datetime:
    """An aware UTC time, cut to microseconds; clamped to what datetime holds."""
    seconds, nanoseconds = divmod(parse_go_time(text), 1_000_000_000)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError):
        raise FormatError(reason=f"{text[:40]!r} is outside the years 1 to 9999") from None
    return moment.replace(microsecond=nanoseconds // 1000)


_TYPES = {
    stat.S_IFREG: ("file", 0),
    stat.S_IFDIR: ("dir", 1 << 31),
    stat.S_IFLNK: ("symlink", 1 << 27),
    stat.S_IFBLK: ("dev", 1 << 26),
    stat.S_IFCHR: ("chardev", 1 << 26 | 1 << 21),
    stat.S_IFIFO: ("fifo", 1 << 25),
    stat.S_IFSOCK: ("socket", 1 << 24),
}
_TYPE_BITS = {name: bits for bits, (name, _) in _TYPES.items()}
_SPECIAL = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


@lru_cache(maxsize=4096)
def go_mode(st_mode: int) -> tuple[str, int]:
    """Type name and Go's FileMode for a `st_mode`. :raises FormatError: a kind of file that is not stored."""
    try:
        kind, mode = _TYPES[stat.S_IFMT(st_mode)]
    except KeyError:
        raise FormatError(reason=f"file mode {st_mode:o} is of no known kind") from None
    return kind, mode | st_mode & 0o777 | sum(go for unix, go in _SPECIAL if st_mode & unix)


@lru_cache(maxsize=4096)
def unix_mode(kind: str, mode: int) -> int:
    """The `st_mode` for a node's type and Go FileMode. :raises FormatError: an unknown type."""
    if kind not in _TYPE_BITS:
        raise FormatError(reason=f"a node has the type {kind[:20]!r}")
    return _TYPE_BITS[kind] | mode & 0o777 | sum(unix for unix, go in _SPECIAL if mode & go)
