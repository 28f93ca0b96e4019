"""Patterns in the form of iCalendar (RFC 5545): a VEVENT with its rules, dates and exceptions.

Read are RRULE, RDATE, EXDATE and DTSTART, several of each but the last; all else is passed over. As command
lines send it, a line may end in a backslash and an n, and a rule in a semicolon.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from protectd.domain.recurrence import Rule, parse, refuse
from protectd.domain.wall_clock import Shown, local
from protectd.domain.zones import find_zone

MAX_CHARACTERS = 65536
MAX_RULES = 8
MAX_DATES = 2000

_FOLDED = re.compile(r"\r?\n[ \t]")
_LINE = re.compile(r"(?P<name>[A-Za-z-]+)(?P<parameters>(?:;[^:\";]*(?:\"[^\"]*\")?)*):(?P<value>.*)")
_MOMENT = re.compile(r"(\d{8})(?:T(\d{6})(Z?))?")


@dataclass(frozen=True)
class Line:
    name: str
    value: str
    tzid: str | None


@dataclass(frozen=True)
class Calendar:
    """
    :ivar first: what the series begins with, as the clock shows it; None: the start of the schedule.
    """

    rules: tuple[Rule, ...]
    dates: tuple[datetime, ...]
    exceptions: frozenset[datetime] = field(default_factory=frozenset)
    first: datetime | None = None

    def check(self, start: datetime) -> None:
        """:raises InvalidField: names `pattern`: a rule never fires, and each look for its next time would be
        in vain."""
        for number, rule in enumerate(self.rules, start=1):
            first = self.first or start
            if next(rule.times(first, first), None) is None:
                raise refuse(f"never fires: its RRULE {number}")

    def times(self, start: datetime, since: datetime) -> Iterator[Shown]:
        """Every time from `since` on, in order; `start` stands where there is no DTSTART."""
        series = [rule.times(self.first or start, since) for rule in self.rules]
        dates = (Shown(at) for at in self.dates if at >= since)
        return (shown for shown in heapq.merge(*series, dates) if shown.at not in self.exceptions)


def zone_of(text: str) -> ZoneInfo | None:
    """The zone that a calendar brings along: of its DTSTART.

    :raises InvalidField: names `pattern`.
    """
    started = [line for line in _lines(text) if line.name == "DTSTART"]
    if not started:
        return None
    if started[0].value.endswith(("Z", "z")):
        return ZoneInfo("UTC")
    return None if started[0].tzid is None else find_zone(started[0].tzid, "pattern")


def parse_calendar(text: str, zone: ZoneInfo) -> Calendar:
    """:param zone: of what is said without one.
    :raises InvalidField: names `pattern`.
    """
    lines = _lines(text)
    named = {
        name: [line for line in lines if line.name == name]
        for name in ("RRULE", "RDATE", "EXDATE", "DTSTART")
    }
    if len(named["RRULE"]) > MAX_RULES:
        raise refuse(f"has more than {MAX_RULES} rules")
    if len(named["DTSTART"]) > 1:
        raise refuse("has more than one DTSTART")
    rules = tuple(
        parse(line.value, lambda said: _shown(said, None, zone, end=True)) for line in named["RRULE"]
    )
    started = [at for line in named["DTSTART"] for at in _dates(line, zone)]
    dates = {at for line in named["RDATE"] for at in _dates(line, zone)}
    if not rules:
        dates.update(started)
    if not rules and not dates:
        raise refuse("must be a VEVENT with an RRULE, an RDATE or a DTSTART")
    exceptions = frozenset(at for line in named["EXDATE"] for at in _dates(line, zone))
    return Calendar(rules, tuple(sorted(dates)), exceptions, next(iter(started), None))


def _lines(text: str) -> list[Line]:
    """Of the first VEVENT; of all the text where there is none."""
    if len(text) > MAX_CHARACTERS:
        raise refuse(f"must have at most {MAX_CHARACTERS} characters")
    plain = _FOLDED.sub("", text.replace("\\r", "").replace("\\n", "\n"))
    lines = [line.strip() for line in plain.splitlines()]
    marks = [line.upper() for line in lines]
    if "BEGIN:VEVENT" in marks:
        begin = marks.index("BEGIN:VEVENT")
        if "END:VEVENT" not in marks[begin:]:
            raise refuse("has a VEVENT without its end")
        lines = lines[begin + 1 : marks.index("END:VEVENT", begin)]
    return [_line(line) for line in lines if line]


def _line(text: str) -> Line:
    found = _LINE.fullmatch(text)
    if found is None:
        raise refuse("has a line that is not NAME:VALUE")
    if found["name"].upper() == "EXRULE":
        raise refuse("EXRULE is no part of iCalendar any more; name the dates with EXDATE")
    parameters = [each.partition("=") for each in found["parameters"].split(";")]
    tzid = next((value.strip('"') for name, _, value in parameters if name.upper() == "TZID"), None)
    return Line(found["name"].upper(), found["value"].strip(), tzid)


def _dates(line: Line, zone: ZoneInfo) -> list[datetime]:
    said = [each for each in line.value.upper().split(",") if each]
    if len(said) > MAX_DATES:
        raise refuse(f"has more than {MAX_DATES} dates in a line")
    return [_shown(each, line.tzid, zone) for each in said]


def _shown(said: str, tzid: str | None, zone: ZoneInfo, *, end: bool = False) -> datetime:
    """What the clock of `zone` shows at a date or moment.

    :param end: a date stands for its last second.
    """
    found = _MOMENT.fullmatch(said)
    try:
        if found is None:
            raise ValueError
        at = datetime.strptime(found[1] + (found[2] or ("235959" if end else "000000")), "%Y%m%d%H%M%S")
        if found[3]:
            return local(at.replace(tzinfo=UTC), zone)
        if tzid is not None and found[2] and tzid != zone.key:
            return local(at.replace(tzinfo=find_zone(tzid, "pattern")), zone)
        at + timedelta(days=1)
    except (ValueError, OverflowError):
        raise refuse("has a moment that is not like 20200131T083000") from None
    return at
