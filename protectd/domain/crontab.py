"""Patterns in the form of a crontab."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from cronsim import CronSim, CronSimError

from protectd.common.errors import InvalidField
from protectd.domain.wall_clock import Shown, Times

MAX_CHARACTERS = 1024
FIELDS = "a crontab has 5 fields, or 6 of which the last is the second"

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_ANY = datetime(2000, 1, 1)


def parse(text: str) -> Times:
    """:raises InvalidField: names `pattern`."""
    if len(text) > MAX_CHARACTERS:
        raise InvalidField(field="pattern", reason=f"must have at most {MAX_CHARACTERS} characters")
    fields = NICKNAMES.get(text.strip().lower(), text).split()
    if len(fields) not in (5, 6):
        raise InvalidField(field="pattern", reason=FIELDS)
    if not fields[5:]:
        fields.append("0")
    if not fields[5].isascii() or not fields[5].isdigit():
        raise InvalidField(
            field="pattern", reason="the second is a number: nothing runs more than once a minute"
        )
    expression, hours_open = " ".join([fields[5], *fields[:5]]), fields[1].startswith("*")
    _check(expression)
    return lambda since: _times(expression, since, hours_open)


def _check(expression: str) -> None:
    try:
        CronSim(expression, _ANY)
    except (CronSimError, ValueError) as error:
        reason = str(error) if isinstance(error, CronSimError) else "has a number that is too large"
        raise InvalidField(field="pattern", reason=f"is no crontab: {reason}") from None


def _times(expression: str, since: datetime, hours_open: bool) -> Iterator[Shown]:
    """Ends when nothing comes for 50 years, or at the end of the calendar."""
    walk = CronSim(expression, since - timedelta(seconds=1))
    try:
        for at in walk:
            yield Shown(at, hours_open)
    except OverflowError:
        return
