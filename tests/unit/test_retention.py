"""What retention keeps: the rules, and what no rule may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protectd.domain.durations import Span
from protectd.domain.retention import (
    BUCKETS,
    Candidate,
    InvalidRetention,
    RetentionRules,
    Verdict,
    plan,
)

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)


def daily(count: int, **fields: Any) -> list[Candidate]:
    """One a day, named by how many days old they are."""
    return [Candidate(str(days), NOW - timedelta(days=days), **fields) for days in range(count)]


def rules(**definition: Any) -> RetentionRules:
    return RetentionRules.parse({"plan_id": "p", "provider_id": "q"} | definition, "definition")


def kept(verdicts: Sequence[Verdict]) -> list[str]:
    return [each.candidate.id for each in verdicts if each.action == "keep"]


def reasons(verdicts: Sequence[Verdict], id: str) -> tuple[str, ...]:
    return next(each.reasons for each in verdicts if each.candidate.id == id)


# --- what is damaged ---


def test_what_is_damaged_takes_nobodys_place_and_goes_no_sooner() -> None:
    def found(count_of_bad: int, **definition: Any) -> list[str]:
        bad = [replace(each, damaged=True, verified=True) for each in daily(count_of_bad)]
        return kept(plan([*bad, *daily(6)[count_of_bad:]], rules(**definition), NOW))

    assert found(2, max_backups=2) == ["0", "1", "2", "3"]
    assert found(2, max_backups=2, count_partial=True) == ["0", "1", "2", "3"]
    assert found(2, keep_daily=1) == ["0", "1", "2"]
    assert found(2, retention_duration=1) == ["0", "1", "2", "3"]
    assert found(6, max_backups=2) == ["0", "1", "2", "3", "4", "5"]


def test_what_is_damaged_has_not_proved_good() -> None:
    bad, good = Candidate("bad", NOW, verified=True, damaged=True), replace(daily(5)[4], verified=True)
    assert kept(plan([bad, *daily(4)[1:], good], rules(max_backups=1), NOW)) == ["bad", "1", "4"]


# --- what failed ---


def failed(days: float, **fields: Any) -> Candidate:
    return Candidate(f"failed-{days}", NOW - timedelta(days=days), failed=True, **fields)


def test_failures_go_when_nothing_of_their_time_is_wanted_any_more() -> None:
    old = Candidate("held", NOW - timedelta(days=80), held=True)
    found = plan([*daily(5), old, failed(1.5), failed(2.5), failed(60)], rules(max_backups=3), NOW)
    assert kept(found) == ["0", "1", "failed-1.5", "2", "held"]
    assert reasons(found, "failed-1.5") == ("failed_lately",)
    assert reasons(found, "failed-2.5") == reasons(found, "failed-60") == ("failed",)
    assert reasons(found, "3") == ("max_backups",)


def test_failures_stay_for_as_long_as_is_said() -> None:
    mixed = [*daily(3), failed(1.5), failed(9), failed(11)]
    found = plan(mixed, rules(keep_last=2, failed_duration=10), NOW + timedelta(days=300))
    assert kept(found) == ["0", "1", "failed-1.5", "failed-9"]
    assert reasons(found, "failed-11") == ("failed_duration",)
    alone = plan(mixed, rules(failed_duration=1), NOW)
    assert kept(alone) == ["0", "1", "2"]
    assert reasons(alone, "2") == ("no_rule",)


def test_no_failure_goes_without_a_rule_or_anything_good() -> None:
    found = plan([*daily(2), failed(5)], rules(), NOW)
    assert kept(found) == ["0", "1", "failed-5"] and reasons(found, "failed-5") == ("no_rule",)
    lacking = [*daily(3, partial=True), failed(5)]
    for each in (lacking, [failed(5), failed(7)]):
        assert reasons(plan(each, rules(max_backups=1, failed_duration=1), NOW), "failed-5") == (
            "nothing_good",
        )


def test_failures_that_are_held_or_used_stay_like_others() -> None:
    held, pinned, future = failed(50, held=True), failed(51, pinned=True), failed(-1)
    found = plan([*daily(2), held, pinned, future], rules(max_backups=1), NOW)
    assert kept(found) == ["failed--1", "0", "failed-50", "failed-51"]
    halted = plan([*daily(2), failed(50)], rules(max_backups=1), NOW, halted="last_run_failed")
    assert reasons(halted, "failed-50") == ("last_run_failed",)


@given(
    ages=st.lists(st.integers(0, 40), max_size=12, unique=True),
    lost=st.lists(st.integers(0, 40), max_size=12, unique=True),
    limit=st.integers(0, 4),
    duration=st.integers(0, 20),
)
def test_failures_count_for_nothing(ages: list[int], lost: list[int], limit: int, duration: int) -> None:
    good = [Candidate(str(days), NOW - timedelta(days=days)) for days in ages]
    wanted = rules(max_backups=limit, failed_duration=duration)
    mixed = plan([*good, *(failed(days + 0.5) for days in lost)], wanted, NOW)
    assert [each for each in mixed if not each.candidate.failed] == plan(good, wanted, NOW)
    stay = [each for each in mixed if each.candidate.failed and each.action == "keep"]
    if not good or not (limit or duration):
        assert len(stay) == len(lost)
    newest = min(ages, default=0)
    assert len(stay) >= sum(days < newest for days in lost)


# --- the definition ---


@pytest.mark.parametrize("value", [3, "3", " 3 ", 0, "-1", -7, None])
def test_counts_come_as_numbers_or_text_and_less_than_one_means_none(value: Any) -> None:
    made = rules(max_backups=value)
    assert made.max_backups == (3 if str(value).strip() == "3" else 0)
    assert made.any is bool(made.max_backups)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_backups", "many"),
        ("max_backups", True),
        ("retention_duration", 1.5),
        ("retention_duration", "9" * 10),
        ("keep_daily", [7]),
        ("keep_daily", "٣"),
        ("keep_within", "soon"),
        ("keep_within", 30),
        ("keep_within", "0d"),
        ("keep_within", "P"),
        ("keep_within", "P1DT"),
        ("keep_verified", "all"),
        ("keep_montly", 12),
        ("count_partial", "maybe"),
        ("retention_scope", "project"),
        ("failed_duration", "1w"),
    ],
)
def test_what_is_no_rule_is_told_by_its_place(name: str, value: Any) -> None:
    with pytest.raises(InvalidRetention) as caught:
        rules(**{name: value})
    assert caught.value.field == f"definition.{name}"


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30d", Span(days=30)),
        ("1y6m", Span(months=18)),
        ("2w36h", Span(days=14, hours=36)),
        ("P30D", Span(days=30)),
        ("P1Y2M3DT4H", Span(months=14, days=3, hours=4)),
        ("PT12H", Span(hours=12)),
    ],
)
def test_lengths_of_time_come_in_two_forms(text: str, span: Span) -> None:
    assert rules(keep_within=text).keep_within == span


def test_a_month_before_the_last_of_march_is_the_last_of_february() -> None:
    assert Span(months=1).before(datetime(2026, 3, 31, 5, tzinfo=UTC), UTC) == datetime(
        2026, 2, 28, 5, tzinfo=UTC
    )


def test_a_span_longer_than_all_time_reaches_everything() -> None:
    assert Span(months=99999 * 12).before(NOW, UTC).year == Span(days=999999).before(NOW, UTC).year == 1


# --- the contract's two ---


def test_without_rules_all_stay() -> None:
    assert len(kept(plan(daily(50), rules(), NOW))) == 50


def test_max_backups_keeps_the_newest_so_many_in_whatever_order_they_come() -> None:
    assert kept(plan(sorted(daily(9), key=lambda each: hash(each.id)), rules(max_backups=3), NOW)) == [
        "0",
        "1",
        "2",
    ]


def test_both_limits_have_to_hold() -> None:
    assert kept(plan(daily(9), rules(max_backups=5, retention_duration=2), NOW)) == ["0", "1", "2"]
    assert kept(plan(daily(9), rules(max_backups=2, retention_duration=5), NOW)) == ["0", "1"]


def test_what_one_rule_wants_stays_though_another_does_not() -> None:
    verdicts = plan(daily(90), rules(max_backups=2, keep_monthly=3), NOW)
    assert kept(verdicts) == ["0", "1", "15", "46"]
    assert reasons(verdicts, "15") == ("keep_monthly",)
    assert reasons(verdicts, "2") == ("max_backups", "keep_monthly")


# --- what cannot hurt ---


def test_nothing_expires_while_no_good_ones_come() -> None:
    old = [Candidate(str(n), NOW - timedelta(days=100 + n)) for n in range(5)]
    assert kept(plan(old, rules(retention_duration=10), NOW)) == ["0", "1", "2", "3", "4"]
    assert kept(plan(old, rules(keep_within="10d"), NOW)) == ["0", "1", "2", "3", "4"]


def test_partial_ones_take_nobodys_place() -> None:
    partial, whole = (
        daily(5, partial=True),
        [Candidate(f"w{n}", NOW - timedelta(days=9 + n)) for n in range(4)],
    )
    verdicts = plan([*partial, *whole], rules(max_backups=2), NOW)
    assert kept(verdicts) == ["0", "1", "2", "3", "4", "w0", "w1"]
    counted = plan([*partial, *whole], rules(max_backups=2, count_partial="true"), NOW)
    assert kept(counted) == ["0", "1"]


def test_a_partial_one_goes_when_whole_ones_have_come_after_it() -> None:
    one = Candidate("partial", NOW - timedelta(days=3, hours=1), partial=True)
    assert "partial" not in kept(plan([*daily(5), one], rules(keep_daily=2), NOW))
    assert "partial" in kept(plan([*daily(3), one], rules(keep_daily=7), NOW))


def test_if_all_are_partial_all_stay() -> None:
    verdicts = plan(daily(5, partial=True), rules(max_backups=1), NOW)
    assert len(kept(verdicts)) == 5
    assert reasons(verdicts, "4") == ("nothing_good",)


def test_the_last_that_proved_good_stays() -> None:
    verified = Candidate("proved", NOW - timedelta(days=80), verified=True)
    older = Candidate("older", NOW - timedelta(days=81), verified=True)
    assert kept(plan([*daily(5), verified, older], rules(max_backups=2), NOW)) == ["0", "1", "proved"]
    two = plan([*daily(5), verified, older], rules(max_backups=2, keep_verified=2), NOW)
    assert kept(two) == ["0", "1", "proved", "older"]
    assert reasons(two, "older") == ("verified",)


def test_what_is_held_or_read_stays() -> None:
    held = Candidate("held", NOW - timedelta(days=30), held=True)
    pinned = Candidate("pinned", NOW - timedelta(days=31), pinned=True)
    assert kept(plan([*daily(5), held, pinned], rules(max_backups=1), NOW)) == ["0", "held", "pinned"]


def test_what_a_wrong_clock_has_made_stays_and_does_not_count() -> None:
    future = Candidate("future", NOW + timedelta(days=400))
    verdicts = plan([*daily(5), future], rules(max_backups=1, retention_duration=2), NOW)
    assert kept(verdicts) == ["future", "0"]


def test_a_halt_keeps_all() -> None:
    verdicts = plan(daily(5), rules(max_backups=1), NOW, halted="schedule disabled")
    assert len(kept(verdicts)) == 5
    assert reasons(verdicts, "4") == ("schedule disabled",)


# --- clocks ---


def test_days_are_those_of_the_zone() -> None:
    evening = datetime(2026, 6, 14, 22, 30, tzinfo=UTC)
    pair = [Candidate("late", evening), Candidate("early", evening - timedelta(hours=1))]
    definition = rules(keep_daily=1)
    assert kept(plan(pair, definition, NOW)) == ["late"]
    assert kept(plan(pair, rules(keep_daily=2), NOW, ZoneInfo("Europe/Berlin"))) == ["late", "early"]
    assert kept(plan(pair, rules(keep_daily=2), NOW)) == ["late"]


def test_the_hour_that_comes_twice_is_two() -> None:
    first = datetime(2025, 10, 26, 0, 30, tzinfo=UTC)
    pair = [Candidate("first", first), Candidate("second", first + timedelta(hours=1))]
    assert kept(plan(pair, rules(keep_hourly=2), NOW, ZoneInfo("Europe/Berlin"))) == ["second", "first"]


# --- whatever comes ---

CANDIDATES = st.lists(
    st.builds(
        Candidate,
        id=st.uuids().map(str),
        taken_at=st.datetimes(datetime(2024, 1, 1), datetime(2026, 9, 1), timezones=st.just(UTC)),
        partial=st.booleans(),
        verified=st.booleans(),
        held=st.booleans(),
        pinned=st.booleans(),
    ),
    max_size=40,
    unique_by=lambda each: each.id,
)
DEFINITIONS = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.integers(-1, 6) for name in (*BUCKETS, "max_backups", "retention_duration")},
        "keep_within": st.sampled_from(["12h", "5d", "2m", "P1Y"]),
        "keep_verified": st.integers(0, 3),
        "count_partial": st.booleans(),
    },
)


@given(CANDIDATES, DEFINITIONS)
def test_no_rule_takes_what_must_stay(candidates: list[Candidate], definition: dict[str, Any]) -> None:
    made = RetentionRules.parse(definition, "")
    verdicts = plan(candidates, made, NOW, ZoneInfo("Pacific/Chatham"))
    stays = set(kept(verdicts))
    assert len(verdicts) == len(candidates)
    good = [
        each
        for each in sorted(candidates, key=lambda each: (each.taken_at, each.id), reverse=True)
        if each.taken_at <= NOW and (made.count_partial or not each.partial)
    ]
    assert {each.id for each in good[:1]} <= stays
    assert {each.id for each in [each for each in good if each.verified][: made.keep_verified]} <= stays
    assert {each.id for each in candidates if each.held or each.pinned or each.taken_at > NOW} <= stays
    if made.max_backups and not made.buckets and not made.keep_within:
        extra = {each.id for each in good if each.held or each.pinned or each.verified}
        assert len({each.id for each in good} & stays - extra) <= made.max_backups
    assert all(each.reasons for each in verdicts)


@given(CANDIDATES, DEFINITIONS)
def test_doing_it_twice_takes_no_more(candidates: list[Candidate], definition: dict[str, Any]) -> None:
    """A run that was killed in the middle and is done anew ends where one run would have."""
    made = RetentionRules.parse(definition, "")
    once = plan(candidates, made, NOW)
    gone = [each.candidate for each in once if each.action == "remove"]
    for number in range(len(gone) + 1):
        rest = [each for each in candidates if each not in gone[:number]]
        assert set(kept(plan(rest, made, NOW))) == set(kept(once))
