"""Schedules: the properties of a time trigger, checked, and every moment at which it fires.

Pure: values in, values out. How local times become moments is told in `protectd.domain.wall_clock`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

from protectd.common.errors import InvalidField
from protectd.domain import calendars, crontab
from protectd.domain.wall_clock import Times, local, moments
from protectd.domain.zones import find_zone

CRONTAB = "crontab"
CALENDAR = "calendar"
FORMATS = (CALENDAR, CRONTAB)

SKIP = "skip"
RUN_ONCE = "run_once"
RUN_ALL = "run_all"
MISFIRES = (SKIP, RUN_ONCE, RUN_ALL)

PREVIEWED = 10
MAX_MISFIRES = 100
MAX_JITTER_S = 86400
LOOKED_AT = 500
"""Times that are compared with the shortest interval."""

MINUTE_S = 60
"""No crontab fires more often."""

PROPERTIES = (
    "format",
    "pattern",
    "time_zone",
    "start_time",
    "end_time",
    "window",
    "misfire",
    "misfire_limit",
    "jitter",
)

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2500, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ScheduleLimits:
    """
    :ivar min_interval_s: nothing fires more often.
    :ivar window_s: of a trigger that does not say.
    """

    min_interval_s: int = 60
    window_s: int = 900
    min_window_s: int = 1
    max_window_s: int = 7 * 86400


@dataclass(frozen=True, slots=True)
class Schedule:
    """
    :ivar start: nothing fires before.
    :ivar end: nothing fires after; None: it goes on.
    :ivar window: for how long after its time something may still begin.
    :ivar misfire: what becomes of times whose window is over.
    :ivar misfire_limit: how many of them `run_all` runs.
    :ivar jitter_s: up to so much later it fires than it is expected.
    """

    times: Times
    zone: ZoneInfo
    start: datetime
    end: datetime | None
    window: timedelta
    misfire: str
    misfire_limit: int
    jitter_s: int

    def since(self, moment: datetime) -> Iterator[datetime]:
        """Every moment from this one on, in order."""
        for at in moments(self.times, self.zone, max(moment, self.start)):
            if self.end is not None and at > self.end:
                return
            yield at

    def next_after(self, moment: datetime) -> datetime | None:
        return next(self.since(moment + timedelta.resolution), None)

    def between(self, since: datetime, until: datetime) -> Iterator[datetime]:
        """From `since` to `until`, both included."""
        for at in self.since(since):
            if at > until:
                return
            yield at

    def upcoming(self, moment: datetime, count: int = PREVIEWED) -> list[datetime]:
        """The next ones after a moment, as they are expected: without jitter."""
        return list(islice(self.since(moment + timedelta.resolution), count))

    def due(self, trigger_id: str, expected: datetime) -> datetime:
        """When it fires: later by what trigger and moment say, the same for everyone who asks."""
        if not self.jitter_s:
            return expected
        digest = hashlib.sha256(f"{trigger_id}/{expected.isoformat()}".encode()).digest()
        share = int.from_bytes(digest[:8]) / 2**64
        return expected + timedelta(milliseconds=int(share * self.jitter_s * 1000))


# --- from what a client says ---


def check(
    given: Mapping[str, Any], now: datetime, limits: ScheduleLimits, former: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The properties as they are kept: each in one spelling, and where nothing was said of the start, now.

    :param given: of known names only; null takes away what `former` has.
    :raises InvalidField: names the property.
    """
    said = {name: value for name, value in {**(former or {}), **given}.items() if value is not None}
    for name in ("format", "pattern"):
        if name not in said:
            raise InvalidField(field=name, reason="is required")
    kept = {name: _CHECKS[name](name, said[name]) for name in PROPERTIES if name in said}
    kept.setdefault("start_time", _spelled(now))
    if "window" in kept and not limits.min_window_s <= kept["window"] <= limits.max_window_s:
        raise InvalidField(
            field="window", reason=f"must be {limits.min_window_s} to {limits.max_window_s} seconds"
        )
    if "misfire_limit" in kept and kept.get("misfire") != RUN_ALL:
        raise InvalidField(field="misfire_limit", reason=f"goes with the misfire {RUN_ALL}")
    _check_fires(schedule_of(kept, limits), kept, now, limits)
    return kept


def _check_fires(schedule: Schedule, kept: Mapping[str, Any], now: datetime, limits: ScheduleLimits) -> None:
    if schedule.end is not None and schedule.end <= schedule.start:
        raise InvalidField(field="end_time", reason="must be after start_time")
    if schedule.end is not None and schedule.end <= now:
        raise InvalidField(field="end_time", reason="is over: it never fires")
    often = limits.min_interval_s > MINUTE_S or kept["format"] != CRONTAB
    times = schedule.upcoming(now, LOOKED_AT if often else 1)
    if not times:
        reason = "never fires" if schedule.end is None else "never fires before end_time"
        raise InvalidField(field="pattern", reason=reason)
    if any((later - earlier).total_seconds() < limits.min_interval_s for earlier, later in pairwise(times)):
        raise InvalidField(
            field="pattern", reason=f"fires more often than every {limits.min_interval_s} seconds"
        )


def schedule_of(kept: Mapping[str, Any], limits: ScheduleLimits) -> Schedule:
    """Of properties that `check` has let through. What was looked at lately is not read anew."""
    return _schedule(tuple(sorted(kept.items())), limits)


@lru_cache(maxsize=4096)
def _schedule(items: tuple[tuple[str, Any], ...], limits: ScheduleLimits) -> Schedule:
    kept = dict(items)
    start, zone = moment_of("start_time", kept["start_time"]), _zone(kept)
    return Schedule(
        times=_times(kept, zone, start),
        zone=zone,
        start=start,
        end=moment_of("end_time", kept["end_time"]) if "end_time" in kept else None,
        window=timedelta(seconds=kept.get("window", limits.window_s)),
        misfire=kept.get("misfire", SKIP),
        misfire_limit=kept.get("misfire_limit", MAX_MISFIRES),
        jitter_s=kept.get("jitter", 0),
    )


def _zone(kept: Mapping[str, Any]) -> ZoneInfo:
    brought = calendars.zone_of(kept["pattern"]) if kept["format"] == CALENDAR else None
    if "time_zone" not in kept:
        return brought or ZoneInfo("UTC")
    return find_zone(kept["time_zone"], "time_zone")


def _times(kept: Mapping[str, Any], zone: ZoneInfo, start: datetime) -> Times:
    if kept["format"] == CRONTAB:
        return crontab.parse(kept["pattern"])
    calendar = calendars.parse_calendar(kept["pattern"], zone)
    calendar.check(local(start, zone))
    return lambda since: calendar.times(local(start, zone), since)


# --- one property each ---


def moment_of(name: str, value: Any) -> datetime:
    """`2020-01-31 08:30:00`, or ISO 8601; without an offset it is UTC. Whole seconds."""
    try:
        at = datetime.fromisoformat(str(value).strip())
        at = (at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)).replace(microsecond=0)
    except (ValueError, OverflowError):
        raise InvalidField(field=name, reason="must be a moment such as 2020-01-31 08:30:00") from None
    if not _EARLIEST <= at <= _LATEST:
        raise InvalidField(field=name, reason=f"must be in the years {_EARLIEST.year} to {_LATEST.year}")
    return at


def _spelled(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _moment(name: str, value: Any) -> str:
    return _spelled(moment_of(name, value))


def _number(least: int, most: int) -> Callable[[str, Any], int]:
    """An integer, or its digits in a string, as clients without types send it."""

    def check_number(name: str, value: Any) -> int:
        text = str(value).strip()
        if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) < 10):
            raise InvalidField(field=name, reason="must be an integer")
        if not least <= int(text) <= most:
            raise InvalidField(field=name, reason=f"must be {least} to {most}")
        return int(text)

    return check_number


def _word(*words: str) -> Callable[[str, Any], str]:
    def check_word(name: str, value: Any) -> str:
        if value not in words:
            raise InvalidField(field=name, reason="must be one of " + ", ".join(words))
        return str(value)

    return check_word


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidField(field=name, reason="must be a text that is not blank")
    return value


def _zone_name(name: str, value: Any) -> str:
    return find_zone(str(value), name).key


_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "format": _word(*FORMATS),
    "pattern": _text,
    "time_zone": _zone_name,
    "start_time": _moment,
    "end_time": _moment,
    "window": _number(0, 10**9 - 1),
    "misfire": _word(*MISFIRES),
    "misfire_limit": _number(1, MAX_MISFIRES),
    "jitter": _number(0, MAX_JITTER_S),
}
