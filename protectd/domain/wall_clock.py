"""From what a clock on the wall shows to moments: the one rule for hours that are skipped or come twice.

A pattern that names its hours fires once for each time that it names. A time that is skipped is read with the
offset from before the gap, so it comes as much later as the clock has jumped; of a time that comes twice the
first is meant (RFC 5545, 3.3.5; PEP 495).

A pattern that leaves its hours open goes by the clock: what the clock does not show does not fire, what it
shows twice fires twice, so that something hourly is done each hour.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

_AROUND = timedelta(hours=25)
"""Further than any clock was ever moved."""


class Shown(NamedTuple):
    """
    :ivar at: what the clock shows, without a zone.
    :ivar open: the hours are left open: it fires whenever the clock shows this.
    """

    at: datetime
    open: bool = False


Times = Callable[[datetime], Iterator[Shown]]
"""Every time of a pattern from one that the clock shows on, in its order."""


def moments(times: Times, zone: ZoneInfo, since: datetime) -> Iterator[datetime]:
    """The moments of a pattern from `since` on, in UTC, in order, each once."""
    last, held = since - timedelta.resolution, list[datetime]()
    for shown in times(_first_shown(zone, since)):
        while held and held[0] < _earliest(shown.at, zone):
            last = yield from _let_go(held, last)
        for moment in _of(shown, zone):
            heapq.heappush(held, moment)
    while held:
        last = yield from _let_go(held, last)


def local(moment: datetime, zone: ZoneInfo) -> datetime:
    """What a clock in the zone shows."""
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _let_go(held: list[datetime], last: datetime) -> Generator[datetime, None, datetime]:
    """:returns: the moment that was given last."""
    moment = heapq.heappop(held)
    if moment <= last:
        return last
    yield moment
    return moment


def _first_shown(zone: ZoneInfo, since: datetime) -> datetime:
    """Early enough for all that is shown from a moment on, also when the clock is set around it."""
    offsets = [(since + step).astimezone(zone).utcoffset() for step in (-_AROUND, _AROUND * 0, _AROUND)]
    known = [offset for offset in offsets if offset is not None]
    return local(since, zone) - (max(known) - min(known))


def _of(shown: Shown, zone: ZoneInfo) -> list[datetime]:
    first, second = (_moment(shown.at, zone, fold) for fold in (0, 1))
    if not shown.open or first == second:
        return [first]
    return [first, second] if first < second else []


def _earliest(at: datetime, zone: ZoneInfo) -> datetime:
    """Nothing that the clock shows from here on comes before."""
    return min(_moment(at, zone, fold) for fold in (0, 1))


def _moment(at: datetime, zone: ZoneInfo, fold: int) -> datetime:
    return at.replace(tzinfo=zone, fold=fold).astimezone(UTC)
