"""What becomes of each time at which something was to run. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from protectd.domain.schedules import RUN_ALL, SKIP, Schedule

WAITING = "waiting"
"""An event has come, and no engine has looked at it yet."""

RAN = "ran"
LATE = "late"
COALESCED = "coalesced"
SKIPPED = "skipped"
MISSED = "missed"
FAILED = "failed"
OUTCOMES = (WAITING, RAN, LATE, COALESCED, SKIPPED, MISSED, FAILED)

LATE_AFTER = timedelta(seconds=60)
"""What begins within this was in time."""


@dataclass(frozen=True, slots=True)
class Time:
    """
    :ivar expected: what the pattern says.
    :ivar due: when it fires: later by its jitter.
    """

    expected: datetime
    due: datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """:ivar reason: None: it is to run."""

    time: Time
    outcome: str
    reason: str | None = None

    @property
    def runs(self) -> bool:
        return self.outcome in (RAN, LATE)


def begun(due: datetime, now: datetime) -> str:
    """The outcome of what runs now."""
    return LATE if now - due > LATE_AFTER else RAN


def judge(times: Sequence[Time], schedule: Schedule, now: datetime) -> list[Verdict]:
    """Of what has become due since the last look. As a rule that is one time, and it runs.

    Within its window the newest runs, and the others are one with it. When the window is over, the misfire
    policy says whether nothing runs, the newest, or the newest of each up to a limit.

    :param times: in order. Of some that are followed by at least `misfire_limit` others, none runs.
    """
    if schedule.misfire == RUN_ALL:
        return _all(times, schedule.misfire_limit, now)
    fit = [schedule.misfire != SKIP or now - time.due <= schedule.window for time in times]
    newest = max((number for number, fits in enumerate(fit) if fits), default=-1)
    missed = f"its window of {schedule.window.total_seconds():.0f} s was over"
    return [
        Verdict(time, begun(time.due, now))
        if number == newest
        else Verdict(time, COALESCED, f"runs as one with {times[newest].expected:%Y-%m-%d %H:%M:%S}")
        if fits
        else Verdict(time, MISSED, missed)
        for number, (time, fits) in enumerate(zip(times, fit, strict=True))
    ]


def _all(times: Sequence[Time], limit: int, now: datetime) -> list[Verdict]:
    old = len(times) - limit
    return [
        Verdict(time, MISSED, f"more than {limit} were missed")
        if number < old
        else Verdict(time, begun(time.due, now))
        for number, time in enumerate(times)
    ]
