"""One RRULE of RFC 5545: its parts checked, and its times from any day on without a walk from the first.

Days are looked at one by one, whatever the rule says, so a look for the next time costs a bounded number of
cheap steps: no further than 50 years ahead, and among the times of days no more than some in vain.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import groupby, islice, product

from protectd.common.errors import InvalidField
from protectd.common.fields import shown
from protectd.domain.wall_clock import Shown

AHEAD = timedelta(days=50 * 366)
MAX_COUNT = 10_000
MAX_INTERVAL = 100_000
MAX_TIMES_A_DAY = 1440
IN_VAIN = 50_000

DAY = timedelta(days=1)
_SHORT: Mapping[str, timedelta] = {"HOURLY": timedelta(hours=1), "MINUTELY": timedelta(minutes=1)}
_LONG = ("WEEKLY", "MONTHLY", "YEARLY")
_FREQUENCIES = (*_SHORT, "DAILY", *_LONG)
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_DAY = re.compile(rf"([+-]?\d{{1,2}})?({'|'.join(_DAYS)})")
_NUMBER = re.compile(r"[+-]?\d{1,6}")

_RANGES: Mapping[str, tuple[int, int]] = {
    "BYSECOND": (0, 59),
    "BYMINUTE": (0, 59),
    "BYHOUR": (0, 23),
    "BYMONTHDAY": (-31, 31),
    "BYYEARDAY": (-366, 366),
    "BYWEEKNO": (-53, 53),
    "BYMONTH": (1, 12),
    "BYSETPOS": (-366, 366),
}
_WITHOUT_ZERO = frozenset({"BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYSETPOS"})
_OF_THE_DAY = ("BYHOUR", "BYMINUTE", "BYSECOND")
_GOES_WITH: Mapping[str, Sequence[str]] = {
    "BYSETPOS": _LONG,
    "BYWEEKNO": ("YEARLY",),
    "BYYEARDAY": ("YEARLY",),
    "BYMONTHDAY": (*_SHORT, "DAILY", "MONTHLY", "YEARLY"),
}
_KNOWN = frozenset({"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY", *_RANGES})

Local = Callable[[str], datetime]


def refuse(reason: str) -> InvalidField:
    return InvalidField(field="pattern", reason=reason)


@dataclass(frozen=True)
class Rule:
    """
    :ivar by: numbers by the names of RFC 5545.
    :ivar weekdays: of BYDAY: a day of the week and which of its kind in the month or year; 0: each.
    :ivar until: the last time that may be, as the clock shows it.
    """

    frequency: str
    interval: int
    count: int | None
    until: datetime | None
    first_weekday: int
    by: Mapping[str, Sequence[int]]
    weekdays: frozenset[tuple[int, int]]

    def times(self, first: datetime, since: datetime) -> Iterator[Shown]:
        """From `since` on, of the series that begins at `first`; both as the clock shows them."""
        start = first if self.count is not None else max(first, since)
        hours_open = self.frequency in _SHORT and "BYHOUR" not in self.by
        for at in islice(self._from(first, start), self.count):
            if self.until is not None and at > self.until:
                return
            if at >= since:
                yield Shown(at, hours_open)

    def _from(self, first: datetime, start: datetime) -> Iterator[datetime]:
        places = self.by.get("BYSETPOS")
        if places is None:
            yield from self._walk(first, start)
            return
        key = self._periods(first)
        # Places count from the front of the whole period, also of the one that the series begins in.
        whole = _beginning(start, self.frequency, self.first_weekday)
        for _, period in groupby(self._walk(first, whole), key):
            times = list(period)
            chosen = {times[n - (n > 0)] for n in places if -len(times) <= n - (n > 0) < len(times)}
            yield from (at for at in sorted(chosen) if at >= start)

    def _walk(self, first: datetime, start: datetime) -> Iterator[datetime]:
        tried, end = 0, min(start, datetime.max - AHEAD) + AHEAD
        fits, period = self._day_test(first), self._periods(first)
        day = datetime.combine(start, time())
        while day < end and tried < IN_VAIN:
            if not self._has_month(day, period):
                day = _next_month(day)
                continue
            if period(day) % self.interval == 0 and fits(day):
                for at in self._within(first, max(day, start), day + DAY):
                    tried = tried + 1 if at is None else 0
                    if at is not None:
                        yield at
            day += DAY

    # --- which days ---

    def _periods(self, first: datetime) -> Callable[[datetime], int]:
        """The number of the week, month and so on that a day is in, counted from the first; every
        INTERVALth counts. Of frequencies shorter than a day, each day does."""
        week = _week_start(first.date(), self.first_weekday)
        counts: Mapping[str, Callable[[datetime], int]] = {
            "DAILY": lambda day: (day.date() - first.date()).days,
            "WEEKLY": lambda day: (day.date() - week).days // 7,
            "MONTHLY": lambda day: (day.year - first.year) * 12 + day.month - first.month,
            "YEARLY": lambda day: day.year - first.year,
        }
        return counts.get(self.frequency, lambda day: 0)

    def _has_month(self, day: datetime, period: Callable[[datetime], int]) -> bool:
        """False: no day of its month is one of the rule."""
        if "BYMONTH" in self.by and day.month not in self.by["BYMONTH"]:
            return False
        return self.frequency not in ("MONTHLY", "YEARLY") or period(day) % self.interval == 0

    def _day_test(self, first: datetime) -> Callable[[datetime], bool]:
        by, weekdays = self.by, self.weekdays
        if (
            self.frequency in _LONG
            and not weekdays
            and not by.keys() & {"BYMONTHDAY", "BYYEARDAY", "BYWEEKNO"}
        ):
            return self._as_first(first)
        tests: list[Callable[[datetime], bool]] = []
        if "BYMONTHDAY" in by:
            tests.append(lambda day: not _month_days(day).isdisjoint(by["BYMONTHDAY"]))
        if "BYYEARDAY" in by:
            tests.append(lambda day: not _year_days(day).isdisjoint(by["BYYEARDAY"]))
        if "BYWEEKNO" in by:
            tests.append(lambda day: not _weeks(day.date(), self.first_weekday).isdisjoint(by["BYWEEKNO"]))
        if weekdays:
            of_year = self.frequency == "YEARLY" and "BYMONTH" not in by
            tests.append(lambda day: not _weekdays(day, of_year).isdisjoint(weekdays))
        return lambda day: all(test(day) for test in tests)

    def _as_first(self, first: datetime) -> Callable[[datetime], bool]:
        """What a rule leaves open is told by its first time, as RFC 5545 has it."""
        if self.frequency == "WEEKLY":
            return lambda day: day.weekday() == first.weekday()
        if self.frequency == "YEARLY" and "BYMONTH" not in self.by:
            return lambda day: (day.month, day.day) == (first.month, first.day)
        return lambda day: day.day == first.day

    # --- which times of a day ---

    def _within(self, first: datetime, start: datetime, end: datetime) -> Iterator[datetime | None]:
        """Times of one day; None: a candidate that does not fit."""
        if self.frequency not in _SHORT:
            told: Iterator[tuple[str, int]] = zip(_OF_THE_DAY, first.timetuple()[3:6], strict=True)
            for hour, minute, second in product(*(self.by.get(name, [value]) for name, value in told)):
                at = start.replace(hour=hour, minute=minute, second=second, microsecond=0)
                yield at if at >= start else None
            return
        step: timedelta = _SHORT[self.frequency] * self.interval
        anchor = first if self.frequency == "MINUTELY" else first.replace(minute=0)
        anchor, begun = anchor.replace(second=0), start.replace(minute=0, second=0, microsecond=0)
        passed = -((anchor - begun) // step)
        slot = anchor + max(passed, 0) * step
        while slot < end:
            yield from self._in_slot(first, slot, start)
            slot += step

    def _in_slot(self, first: datetime, slot: datetime, start: datetime) -> Iterator[datetime | None]:
        minutes = self.by.get("BYMINUTE", [first.minute])
        if self.frequency == "MINUTELY":
            minutes = [slot.minute] if slot.minute in self.by.get("BYMINUTE", [slot.minute]) else []
        if slot.hour not in self.by.get("BYHOUR", [slot.hour]) or not minutes:
            yield None
            return
        for minute, second in product(minutes, self.by.get("BYSECOND", [first.second])):
            at = slot.replace(minute=minute, second=second)
            yield at if at >= start else None


# --- where a day stands: from the front, and from the back as a negative number ---


def _month_days(day: datetime) -> set[int]:
    return {day.day, day.day - 1 - calendar.monthrange(day.year, day.month)[1]}


def _year_days(day: datetime) -> set[int]:
    number = day.timetuple().tm_yday
    return {number, number - 366 - calendar.isleap(day.year)}


def _weekdays(day: datetime, of_year: bool) -> set[tuple[int, int]]:
    number, back = sorted(_year_days(day) if of_year else _month_days(day), reverse=True)
    weekday = day.weekday()
    return {(weekday, 0), (weekday, (number + 6) // 7), (weekday, -((6 - back) // 7))}


def _weeks(day: date, first_weekday: int) -> set[int]:
    """A week is of the year that has most of its days."""
    middle = _week_start(day, first_weekday) + timedelta(days=3)
    number = (middle.timetuple().tm_yday + 6) // 7
    last = _week_start(date(middle.year, 12, 28), first_weekday) + timedelta(days=3)
    while (last + timedelta(days=7)).year == middle.year:
        last += timedelta(days=7)
    return {number, number - 1 - (last.timetuple().tm_yday + 6) // 7}


def _week_start(day: date, first_weekday: int) -> date:
    return day - timedelta(days=(day.weekday() - first_weekday) % 7)


def _beginning(at: datetime, frequency: str, first_weekday: int) -> datetime:
    """Of the week, month or year that a time is in."""
    if frequency == "WEEKLY":
        return datetime.combine(_week_start(at.date(), first_weekday), time())
    return datetime(at.year, 1 if frequency == "YEARLY" else at.month, 1)


def _next_month(day: datetime) -> datetime:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


# --- from a text ---


def parse(text: str, local: Local) -> Rule:
    """:param text: the value of an RRULE; a semicolon at its end is forgiven.
    :param local: from the text of a moment to what the clock shows.
    :raises InvalidField: names `pattern`.
    """
    parts = _parts(text)
    frequency = parts.pop("FREQ", "")
    if frequency == "SECONDLY":
        raise refuse("nothing runs more than once a minute, so FREQ is not SECONDLY")
    if frequency not in _FREQUENCIES:
        raise refuse("FREQ must be one of " + ", ".join(_FREQUENCIES))
    if "COUNT" in parts and "UNTIL" in parts:
        raise refuse("COUNT and UNTIL do not go together")
    count, until = parts.pop("COUNT", None), parts.pop("UNTIL", None)
    rule = Rule(
        frequency=frequency,
        interval=_number("INTERVAL", parts.pop("INTERVAL", "1"), 1, MAX_INTERVAL),
        count=None if count is None else _number("COUNT", count, 1, MAX_COUNT),
        until=None if until is None else local(until),
        first_weekday=_weekday(parts.pop("WKST", "MO")),
        weekdays=_days(parts.pop("BYDAY")) if "BYDAY" in parts else frozenset(),
        by={name: _numbers(name, value) for name, value in parts.items()},
    )
    _check(rule)
    return rule


def _parts(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in filter(None, text.strip().upper().rstrip(";").split(";")):
        name, _, value = part.partition("=")
        if name not in _KNOWN or not value:
            raise refuse(f"an RRULE has no part {shown(part)}")
        if name in parts:
            raise refuse(f"{name} is given twice")
        parts[name] = value
    return parts


def _check(rule: Rule) -> None:
    by, frequency = rule.by, rule.frequency
    times = 1
    for name in _OF_THE_DAY:
        times *= max(1, len(by.get(name, ())))
    if times > MAX_TIMES_A_DAY:
        raise refuse(f"has more than {MAX_TIMES_A_DAY} times a day")
    for name, longer in _GOES_WITH.items():
        if name in by and frequency not in longer:
            raise refuse(f"{name} goes with FREQ=" + " or ".join(longer))
    if "BYSETPOS" in by and len(by) == 1 and not rule.weekdays:
        raise refuse("BYSETPOS chooses among what another part names, such as BYDAY")
    if frequency not in ("MONTHLY", "YEARLY") and any(n for _, n in rule.weekdays):
        raise refuse("a number before a day of the week goes with FREQ=MONTHLY or YEARLY")


def _number(name: str, text: str, least: int, most: int) -> int:
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise refuse(f"{name} must be {least} to {most}")
    return int(text)


def _numbers(name: str, text: str) -> list[int]:
    found = sorted({_number(name, each, *_RANGES[name]) for each in text.split(",")})
    if name in _WITHOUT_ZERO and 0 in found:
        raise refuse(f"{name} must not be 0")
    return found


def _days(text: str) -> frozenset[tuple[int, int]]:
    found = [_DAY.fullmatch(each) for each in text.split(",")]
    days = frozenset((_DAYS.index(each[2]), int(each[1] or 0)) for each in found if each is not None)
    if None in found or any(each is not None and each[1] and not -53 <= int(each[1]) <= 53 for each in found):
        raise refuse("BYDAY has days of the week such as MO, or 1MO, -1SU of a month")
    return days


def _weekday(text: str) -> int:
    if text not in _DAYS:
        raise refuse("WKST must be a day of the week such as MO")
    return _DAYS.index(text)
