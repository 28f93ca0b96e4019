"""Lengths of time as people write them: `1y6m` and `36h`, or ISO 8601 such as `P30D` and `PT12H`."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Self

_SHORT = re.compile(r"(?=.)(?:(\d{1,5})y)?(?:(\d{1,5})m)?(?:(\d{1,5})w)?(?:(\d{1,6})d)?(?:(\d{1,7})h)?\Z")
_ISO = re.compile(
    r"P(?=.)(?:(\d{1,5})Y)?(?:(\d{1,5})M)?(?:(\d{1,5})W)?(?:(\d{1,6})D)?(?:T(?=.)(?:(\d{1,7})H)?)?\Z"
)
_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """Years and months are as long as the calendar makes them."""

    months: int = 0
    days: int = 0
    hours: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """:raises ValueError: it is neither form, or no time at all."""
        found = _SHORT.match(text) or _ISO.match(text)
        if found is None:
            raise ValueError(text)
        years, months, weeks, days, hours = (int(number or 0) for number in found.groups())
        span = cls(12 * years + months, 7 * weeks + days, hours)
        if not (span.months or span.days or span.hours):
            raise ValueError(text)
        return span

    def __str__(self) -> str:
        parts = ((self.months, "m"), (self.days, "d"), (self.hours, "h"))
        return "".join(f"{number}{letter}" for number, letter in parts if number)

    def before(self, moment: datetime, zone: tzinfo) -> datetime:
        """So long before `moment` on the clocks of `zone`: days there may have 23 or 25 hours. A day that the
        month does not have becomes its last."""
        try:
            there = _months_before(moment.astimezone(zone), self.months) - timedelta(days=self.days)
            return there.astimezone(UTC) - timedelta(hours=self.hours)
        except OverflowError:
            return _BEGINNING


def _months_before(moment: datetime, months: int) -> datetime:
    """:raises OverflowError: there is no such year."""
    year, month = divmod(12 * moment.year + moment.month - 1 - months, 12)
    if not 1 <= year <= 9999:
        raise OverflowError
    last = calendar.monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last))
