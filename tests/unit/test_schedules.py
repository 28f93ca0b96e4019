"""Schedules: which moments a pattern means, held against programs that nobody here wrote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protectd.common.errors import InvalidField
from protectd.domain.schedules import ScheduleLimits, check, schedule_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIMITS = ScheduleLimits()
ZONES = ("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata")
MINUTE = timedelta(minutes=1)


def fires(
    count: int = 10, limits: ScheduleLimits = LIMITS, now: datetime = NOW, **properties: Any
) -> list[str]:
    """The next times of a trigger with these properties, as a clock in its zone shows them."""
    schedule = schedule_of(check(properties, now, limits), limits)
    return [f"{at.astimezone(schedule.zone):%Y-%m-%d %H:%M%z}" for at in schedule.upcoming(now, count)]


def cron(pattern: str, count: int = 3, **more: Any) -> list[str]:
    return fires(count, format="crontab", pattern=pattern, **more)


def calendar(*lines: str, count: int = 3, **more: Any) -> list[str]:
    pattern = "\n".join(["BEGIN:VEVENT", *lines, "END:VEVENT"])
    return fires(count, format="calendar", pattern=pattern, **more)


def refusal(**properties: Any) -> tuple[str | None, str]:
    with pytest.raises(InvalidField) as caught:
        check(properties, NOW, LIMITS)
    return caught.value.field, caught.value.facts["reason"]


# --- local times that do not exist, or come twice ---


def test_a_skipped_time_comes_as_much_later_as_the_clock_has_jumped() -> None:
    found = cron("30 2 * * *", time_zone="America/New_York", start_time="2026-03-07 12:00:00")
    assert found == ["2026-03-08 03:30-0400", "2026-03-09 02:30-0400", "2026-03-10 02:30-0400"]


def test_skipped_times_keep_their_order_among_the_others_and_meet_as_one() -> None:
    found = cron("0,30 2,3 * * *", 4, time_zone="America/New_York", start_time="2026-03-08 00:00:00")
    assert found[:3] == ["2026-03-08 03:00-0400", "2026-03-08 03:30-0400", "2026-03-09 02:00-0400"]


def test_of_a_time_that_comes_twice_the_first_is_meant() -> None:
    found = cron("30 1 * * *", time_zone="America/New_York", start_time="2026-10-31 12:00:00")
    assert found[:2] == ["2026-11-01 01:30-0400", "2026-11-02 01:30-0500"]


@pytest.mark.parametrize(
    ("properties"),
    [
        {"format": "crontab", "pattern": "*/30 * * * *"},
        {"format": "calendar", "pattern": "RRULE:FREQ=MINUTELY;INTERVAL=30"},
        {"format": "calendar", "pattern": "RRULE:FREQ=HOURLY;BYMINUTE=0,30"},
    ],
)
def test_what_leaves_its_hours_open_is_done_each_hour_that_passes(properties: dict[str, str]) -> None:
    spring = fires(3, **properties, time_zone="America/New_York", start_time="2026-03-08 06:30:00")
    assert spring == ["2026-03-08 01:30-0500", "2026-03-08 03:00-0400", "2026-03-08 03:30-0400"]
    autumn = fires(7, **properties, time_zone="America/New_York", start_time="2026-11-01 04:00:00")
    assert [at[11:] for at in autumn[3:]] == ["01:30-0400", "01:00-0500", "01:30-0500", "02:00-0500"]


def test_half_an_hour_is_skipped_and_doubled_on_lord_howe() -> None:
    spring = cron("15 2 * * *", 1, time_zone="Australia/Lord_Howe", start_time="2026-10-03 15:00:00")
    assert spring == ["2026-10-04 02:45+1100"]
    autumn = cron("45 1 * * *", 2, time_zone="Australia/Lord_Howe", start_time="2026-04-04 14:00:00")
    assert autumn == ["2026-04-05 01:45+1100", "2026-04-06 01:45+1030"]


# --- held against oracles ---


def cron_oracle(pattern: str, zone: str) -> list[datetime]:
    """Looks at what the clock shows every five minutes. Knows numbers, stars, steps, lists and ranges."""
    fields = pattern.split()
    bounds = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
    minutes, hours, days, months, weekdays = (_numbers(*each) for each in zip(fields, bounds, strict=True))
    either = not fields[2].startswith("*") and not fields[4].startswith("*")

    def means(shown: datetime) -> bool:
        day = (shown.day in days, bool({shown.isoweekday(), shown.isoweekday() % 7} & weekdays))
        fits = any(day) if either else all(day)
        return fits and shown.month in months and shown.hour in hours and shown.minute in minutes

    open_hours = fields[1].startswith("*")
    return [at for at, shown, named in clock(zone) if any(map(means, [shown] if open_hours else named))]


@lru_cache(maxsize=1)
def clock(zone: str) -> list[tuple[datetime, datetime, list[datetime]]]:
    """A year of moments with what the clock shows, and the times that are called by it: of the second pass of
    an hour none, after a jump also what would be shown without it."""
    return [_seen(NOW + n * 5 * MINUTE, ZoneInfo(zone)) for n in range(366 * 288 + 1)]


def _seen(moment: datetime, zone: ZoneInfo) -> tuple[datetime, datetime, list[datetime]]:
    at = moment.astimezone(zone)
    shown = at.replace(tzinfo=None, fold=0)
    named = [] if at.fold else [shown]
    if (moment - 120 * MINUTE).astimezone(zone).utcoffset() == at.utcoffset():
        return moment, shown, named
    for back in range(5, 125, 5):
        before = (moment - back * MINUTE).astimezone(zone)
        jump = shown - before.replace(tzinfo=None) - back * MINUTE
        if jump > timedelta(0) and back * MINUTE <= jump:
            return moment, shown, [*named, shown - jump]
    return moment, shown, named


def _numbers(field: str, bounds: tuple[int, int]) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        low, _, high = span.partition("-")
        first, last = bounds if span == "*" else (int(low), int(high or (bounds[1] if step else low)))
        found.update(range(first, last + 1, int(step or 1)))
    return found


@pytest.mark.parametrize(
    "pattern",
    [
        "30 2 * * *",
        "*/20 * * * *",
        "0 */2 * * *",
        "15,45 0-3 * * 0,6",
        "0 1 1,15 * 1",
        "5 23 * 3,4,9,10,11 *",
    ],
)
@pytest.mark.parametrize("zone", ZONES)
def test_a_year_of_a_crontab_is_what_a_walk_through_its_minutes_finds(pattern: str, zone: str) -> None:
    kept = check({"format": "crontab", "pattern": pattern, "time_zone": zone}, NOW, LIMITS)
    until = NOW + timedelta(days=366)
    found = list(schedule_of(kept, LIMITS).between(NOW, until))
    assert found == cron_oracle(pattern, zone)


FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
weekdays = st.sampled_from(WEEKDAYS)


@st.composite
def rules(draw: st.DrawFn) -> str:
    """RRULEs of every frequency from days up, with parts that go together."""
    frequency = draw(st.sampled_from(FREQUENCIES))
    parts = {"FREQ": frequency, "INTERVAL": str(draw(st.integers(1, 5)))}
    plain = st.lists(weekdays, min_size=1, max_size=3, unique=True)
    if draw(st.booleans()):
        parts["BYMONTH"] = _listed(draw(st.lists(st.integers(1, 12), min_size=1, max_size=4, unique=True)))
    if draw(st.booleans()):
        days = draw(plain)
        if frequency in ("MONTHLY", "YEARLY") and draw(st.booleans()):
            days = [f"{draw(st.sampled_from([1, 2, 4, 5, -1, -2, -5]))}{day}" for day in days]
        parts["BYDAY"] = ",".join(days)
    if frequency != "WEEKLY" and draw(st.booleans()):
        span = st.integers(-31, 31).filter(bool)
        parts["BYMONTHDAY"] = _listed(draw(st.lists(span, min_size=1, max_size=4, unique=True)))
    if frequency == "YEARLY" and draw(st.booleans()):
        span = st.integers(-366, 366).filter(bool)
        parts["BYYEARDAY"] = _listed(draw(st.lists(span, min_size=1, max_size=30, unique=True)))
    if frequency == "YEARLY" and draw(st.booleans()) and not any(c.isdigit() for c in parts.get("BYDAY", "")):
        span = st.integers(-51, 51).filter(
            lambda number: abs(number) > 1
        )  # the others: see the test of weeks
        parts["BYWEEKNO"] = _listed(draw(st.lists(span, min_size=1, max_size=9, unique=True)))
    if draw(st.booleans()):
        parts["BYHOUR"] = _listed(draw(st.lists(st.integers(0, 23), min_size=1, max_size=3, unique=True)))
    if draw(st.booleans()):
        parts["WKST"] = draw(weekdays)
    if frequency != "DAILY" and parts.keys() & {"BYDAY", "BYMONTHDAY"} and draw(st.booleans()):
        parts["BYSETPOS"] = _listed(
            draw(st.lists(st.integers(-4, 4).filter(bool), min_size=1, max_size=2, unique=True))
        )
    if draw(st.integers(0, 3)) == 0:
        parts["COUNT"] = str(draw(st.integers(1, 40)))
    return ";".join(f"{name}={value}" for name, value in parts.items())


def _listed(numbers: list[int]) -> str:
    return ",".join(map(str, numbers))


@given(
    rule=rules(),
    first=st.datetimes(datetime(2020, 1, 1), datetime(2026, 1, 1)).map(lambda at: at.replace(microsecond=0)),
    later=st.integers(0, 3000),
)
@example(rule="FREQ=MONTHLY;BYDAY=WE;BYSETPOS=1", first=datetime(2020, 1, 6), later=0)
@example(rule="FREQ=WEEKLY;BYDAY=MO,TH,SU;BYSETPOS=2", first=datetime(2020, 1, 4), later=0)
@settings(max_examples=150, deadline=None)
def test_a_rule_means_what_dateutil_says(rule: str, first: datetime, later: int) -> None:
    """In UTC, so that only the rule is compared; from any day on, not only from the first."""
    since = (first + timedelta(days=later)).replace(tzinfo=UTC)
    bound = since.replace(tzinfo=None) + timedelta(days=6 * 366)
    told = _until(_oracle(rule, first), bound)
    expected = [at for at in told if at >= since.replace(tzinfo=None)][:30]
    pattern = f"BEGIN:VEVENT\nDTSTART:{first:%Y%m%dT%H%M%S}\nRRULE:{rule};\nEND:VEVENT"
    kept = {"format": "calendar", "pattern": pattern, "start_time": "2000-01-01 00:00:00"}
    try:
        schedule = schedule_of(kept, LIMITS)
    except InvalidField as refused:
        assert "never fires" in str(refused)
        assert expected == []
        return
    found = islice(schedule.between(since, bound.replace(tzinfo=UTC)), 30)
    assert [at.replace(tzinfo=None) for at in found] == expected


@pytest.mark.parametrize("number", [1, 52, 53])
def test_the_weeks_at_the_turn_of_the_year_are_those_of_iso_8601(number: int) -> None:
    """dateutil takes some of them for the year before's 53rd where there is none, as in January 2022."""
    pattern = f"BEGIN:VEVENT\nDTSTART:20000101T000000\nRRULE:FREQ=YEARLY;BYWEEKNO={number};\nEND:VEVENT"
    kept = {"format": "calendar", "pattern": pattern, "start_time": "2000-01-01 00:00:00"}
    begin, days = datetime(2000, 1, 1, tzinfo=UTC), range(40 * 366)
    expected = [day for n in days if (day := begin + timedelta(days=n)).isocalendar().week == number]
    found = list(schedule_of(kept, LIMITS).between(begin, begin + timedelta(days=days.stop)))
    assert found == expected


def _oracle(rule: str, first: datetime) -> Iterator[datetime]:
    """dateutil cuts a series' first week at its first time and counts places in what is left; RFC 5545 counts
    them in the whole week, as dateutil itself does in months and years: so it is asked from that week on."""
    parts = dict(part.split("=") for part in rule.split(";"))
    if parts["FREQ"] != "WEEKLY" or "BYSETPOS" not in parts:
        return rrulestr(f"RRULE:{rule}", dtstart=first).xafter(datetime(1999, 1, 1), inc=True)
    count = int(parts.pop("COUNT", 0)) or None
    endless = ";".join(f"{name}={value}" for name, value in parts.items())
    weekday = WEEKDAYS.index(parts.get("WKST", "MO"))
    beginning = first - timedelta(days=(first.weekday() - weekday) % 7)
    whole = rrulestr(f"RRULE:{endless}", dtstart=beginning)
    return islice(whole.xafter(first, inc=True), count)


def _until(times: Iterable[datetime], bound: datetime) -> Iterator[datetime]:
    for at in times:
        if at > bound:
            return
        yield at


def _all(rule: str, first: datetime) -> list[datetime]:
    try:
        return list(rrulestr(rule, dtstart=first))
    except ValueError as error:
        assert "empty" in str(error)
        return []


SHORT = st.builds(
    lambda frequency, interval, hours, minutes, days: ";".join(
        [f"FREQ={frequency}", f"INTERVAL={interval}"]
        + ([f"BYHOUR={_listed(hours)}"] if hours else [])
        + ([f"BYMINUTE={_listed(minutes)}"] if minutes else [])
        + ([f"BYDAY={','.join(days)}"] if days else [])
    ),
    st.sampled_from(["HOURLY", "MINUTELY"]),
    st.integers(1, 90),
    st.lists(st.integers(0, 23), max_size=8, unique=True),
    st.lists(st.sampled_from([0, 5, 10, 15, 30, 45, 59]), max_size=4, unique=True),
    st.lists(weekdays, max_size=3, unique=True),
)


@given(rule=SHORT, later=st.integers(0, 50))
@settings(max_examples=150, deadline=None)
def test_a_rule_shorter_than_a_day_means_what_dateutil_says(rule: str, later: int) -> None:
    first = datetime(2025, 12, 30, 7, 10)
    since, bound = first + timedelta(hours=later), first + timedelta(days=12)
    expected = _all(f"RRULE:{rule};UNTIL={bound:%Y%m%dT%H%M%S}", first)
    kept = {"format": "calendar", "pattern": f"DTSTART:{first:%Y%m%dT%H%M%S}\nRRULE:{rule}"}
    kept["start_time"] = "2000-01-01 00:00:00"
    try:
        schedule = schedule_of(kept, LIMITS)
    except InvalidField:
        assert expected == []
        return
    found = schedule.between(since.replace(tzinfo=UTC), bound.replace(tzinfo=UTC))
    assert [at.replace(tzinfo=None) for at in found] == [at for at in expected if at >= since]


# --- what is refused, and what is forgiven ---


@pytest.mark.parametrize(
    ("properties", "field", "reason"),
    [
        ({}, "format", "is required"),
        ({"format": "crontab"}, "pattern", "is required"),
        ({"format": "cron", "pattern": "0 0 * * *"}, "format", "one of calendar, crontab"),
        ({"format": "calendar", "pattern": "0 0 * * *"}, "pattern", "NAME:VALUE"),
        ({"format": "crontab", "pattern": "BEGIN:VEVENT"}, "pattern", "5 fields"),
        ({"format": "crontab", "pattern": "60 0 * * *"}, "pattern", "Bad minute"),
        ({"format": "crontab", "pattern": "0 0 30 2 *"}, "pattern", "Bad day-of-month"),
        ({"format": "crontab", "pattern": "* * * * * *"}, "pattern", "once a minute"),
        ({"format": "crontab", "pattern": "*/" + "9" * 1019 + " 0 * * *"}, "pattern", "at most 1024"),
        ({"format": "calendar", "pattern": "RRULE:FREQ=SECONDLY"}, "pattern", "SECONDLY"),
        ({"format": "calendar", "pattern": "RRULE:FREQ=FORTNIGHTLY"}, "pattern", "FREQ"),
        ({"format": "calendar", "pattern": "RRULE:FREQ=DAILY;BYHOUR=24"}, "pattern", "0 to 23"),
        ({"format": "calendar", "pattern": "RRULE:FREQ=DAILY;BYHOUR="}, "pattern", "no part BYHOUR="),
        ({"format": "calendar", "pattern": "RRULE:FREQ=DAILY;FREQ=DAILY"}, "pattern", "twice"),
        ({"format": "calendar", "pattern": "RRULE:FREQ=DAILY;COUNT=1;UNTIL=20300101"}, "pattern", "together"),
        ({"format": "calendar", "pattern": "RRULE:FREQ=DAILY;UNTIL=20200101"}, "pattern", "never fires"),
        ({"format": "calendar", "pattern": "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"}, "pattern", "RRULE 1"),
        (
            {"format": "calendar", "pattern": "RRULE:FREQ=DAILY;UNTIL=20301301T000000"},
            "pattern",
            "20200131T083000",
        ),
        ({"format": "calendar", "pattern": "BEGIN:VEVENT\nRRULE:FREQ=DAILY"}, "pattern", "without its end"),
        ({"format": "calendar", "pattern": "BEGIN:VEVENT\nSUMMARY:x\nEND:VEVENT"}, "pattern", "RRULE"),
        (
            {"format": "calendar", "pattern": "RRULE:FREQ=DAILY;BYHOUR=1;BYSECOND=0,30"},
            "pattern",
            "every 60 seconds",
        ),
        (
            {"format": "calendar", "pattern": "DTSTART;TZID=Mars/Base:20300101T000000\nRRULE:FREQ=DAILY"},
            "pattern",
            "zone",
        ),
        (
            {"format": "calendar", "pattern": "\n".join(["RRULE:FREQ=DAILY"] * 9)},
            "pattern",
            "more than 8 rules",
        ),
        ({"format": "crontab", "pattern": "0 0 * * *", "time_zone": "Mars/Base"}, "time_zone", "time zone"),
        (
            {"format": "crontab", "pattern": "0 0 * * *", "time_zone": "../../etc/passwd"},
            "time_zone",
            "time zone",
        ),
        ({"format": "crontab", "pattern": "0 0 * * *", "time_zone": "localtime"}, "time_zone", "time zone"),
        ({"format": "crontab", "pattern": "0 0 * * *", "start_time": "tomorrow"}, "start_time", "moment"),
        ({"format": "crontab", "pattern": "0 0 * * *", "start_time": "9999-01-01"}, "start_time", "years"),
        (
            {"format": "crontab", "pattern": "0 0 * * *", "end_time": "2026-02-01"},
            "end_time",
            "after start_time",
        ),
        (
            {
                "format": "crontab",
                "pattern": "0 0 * * *",
                "start_time": "2026-01-01",
                "end_time": "2026-02-01",
            },
            "end_time",
            "is over",
        ),
        (
            {"format": "crontab", "pattern": "0 0 1 1 *", "end_time": "2026-12-01"},
            "pattern",
            "before end_time",
        ),
        ({"format": "crontab", "pattern": "0 0 * * *", "window": 0}, "window", "1 to 604800"),
        ({"format": "crontab", "pattern": "0 0 * * *", "window": "1h"}, "window", "integer"),
        ({"format": "crontab", "pattern": "0 0 * * *", "window": True}, "window", "integer"),
        ({"format": "crontab", "pattern": "0 0 * * *", "misfire": "drop"}, "misfire", "run_once"),
        ({"format": "crontab", "pattern": "0 0 * * *", "misfire_limit": 3}, "misfire_limit", "run_all"),
        ({"format": "crontab", "pattern": "0 0 * * *", "jitter": 86401}, "jitter", "0 to 86400"),
    ],
)
def test_what_cannot_be_used_is_named(properties: dict[str, Any], field: str, reason: str) -> None:
    told = refusal(**properties)
    assert told[0] == field
    assert reason in told[1]


def test_a_calendar_is_read_as_command_lines_send_it() -> None:
    found = fires(2, format="calendar", pattern="BEGIN:VEVENT\\nRRULE:FREQ=WEEKLY;INTERVAL=1;\\nEND:VEVENT")
    assert found == ["2026-03-08 12:00+0000", "2026-03-15 12:00+0000"]


def test_several_rules_dates_and_exceptions_are_one_series() -> None:
    found = calendar(
        "DTSTART;TZID=Europe/Berlin:20260302T090000",
        "RRULE:FREQ=WEEKLY;",
        "RRULE:FREQ=MONTHLY;BYMONTHDAY=1",
        "RDATE;TZID=Europe/Berlin:20260305T100000",
        "RDATE:20260306T080000Z",
        "EXDATE;TZID=Europe/Berlin:20260309T090000",
        "SUMMARY:with a",
        "  folded line",
        count=6,
    )
    assert found == [
        "2026-03-02 09:00+0100",
        "2026-03-05 10:00+0100",
        "2026-03-06 09:00+0100",
        "2026-03-16 09:00+0100",
        "2026-03-23 09:00+0100",
        "2026-03-30 09:00+0200",
    ]


def test_a_zone_that_is_named_stands_over_the_calendars_own() -> None:
    line = "DTSTART;TZID=Europe/Berlin:20260401T090000"
    assert calendar(line, count=1) == ["2026-04-01 09:00+0200"]
    assert calendar(line, count=1, time_zone="Asia/Tokyo") == ["2026-04-01 16:00+0900"]


def test_a_calendar_without_a_rule_happens_once() -> None:
    assert calendar("DTSTART:20260401T090000Z", count=9) == ["2026-04-01 09:00+0000"]


def test_moments_are_read_in_both_spellings_and_kept_in_one() -> None:
    pattern = {"format": "crontab", "pattern": "@daily"}
    kept = check(
        {**pattern, "start_time": "2026-03-05T01:00:00+02:00", "end_time": "2026-04-01"}, NOW, LIMITS
    )
    assert (kept["start_time"], kept["end_time"]) == ("2026-03-04 23:00:00", "2026-04-01 00:00:00")
    assert check(pattern, NOW, LIMITS)["start_time"] == "2026-03-01 12:00:00"


def test_a_change_leaves_what_it_does_not_name_and_takes_away_what_it_names_null() -> None:
    former = check({"format": "crontab", "pattern": "@daily", "window": "900", "jitter": 5}, NOW, LIMITS)
    kept = check({"pattern": "@weekly", "window": None}, NOW, LIMITS, former)
    assert kept == {
        "format": "crontab",
        "pattern": "@weekly",
        "start_time": "2026-03-01 12:00:00",
        "jitter": 5,
    }


def test_a_calendar_of_twenty_kilobytes_is_read() -> None:
    dates = ",".join(f"{2027 + n // 300}{n % 12 + 1:02}{n % 28 + 1:02}T{n % 24:02}0000" for n in range(1200))
    assert len(calendar("RRULE:FREQ=YEARLY", f"RDATE:{dates}", count=400)) == 400


@pytest.mark.parametrize(
    "rule", ["FREQ=MINUTELY;INTERVAL=2;BYMINUTE=1", "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=300"]
)
def test_a_hostile_rule_costs_a_bounded_number_of_steps(rule: str) -> None:
    """Were it not so, this would not come back before the suite is given up."""
    told = refusal(format="calendar", pattern="\n".join([f"RRULE:{rule}"] * 8))
    assert "never fires" in told[1]


# --- jitter ---


def test_jitter_moves_each_time_by_a_share_of_its_own_that_stays() -> None:
    kept = check({"format": "crontab", "pattern": "0 * * * *", "jitter": 600}, NOW, LIMITS)
    schedule = schedule_of(kept, LIMITS)
    expected = schedule.upcoming(NOW, 200)
    late = [(schedule.due("one", at) - at).total_seconds() for at in expected]
    assert late == [(schedule.due("one", at) - at).total_seconds() for at in expected]
    assert all(0 <= each < 600 for each in late)
    assert len({*late}) > 190
    assert late != [(schedule.due("other", at) - at).total_seconds() for at in expected]
    assert 200 < sum(late) / len(late) < 400
