"""Which checkpoints of a plan have served their time. Pure: it reads nothing, and removes nothing.

Only checkpoints that are good count, and all times are told from the newest of them: while no good ones come,
nothing expires.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Literal, Self

from protectd.common.errors import InvalidField
from protectd.common.fields import join
from protectd.domain.durations import Span

Scope = Literal["operation", "scheduled", "plan"]
Action = Literal["keep", "remove"]

OPERATION: Scope = "operation"
SCHEDULED: Scope = "scheduled"
PLAN: Scope = "plan"
SCOPES: tuple[Scope, ...] = (OPERATION, SCHEDULED, PLAN)
"""What retention looks at: what its own scheduled operation has made, what any has, or all of the plan."""

MAX_BACKUPS = "max_backups"
RETENTION_DURATION = "retention_duration"
FAILED_DURATION = "failed_duration"
KEEP_WITHIN = "keep_within"
KEEP_VERIFIED = "keep_verified"
COUNT_PARTIAL = "count_partial"
SCOPE = "retention_scope"
LAST = "keep_last"
FAILED = "failed"
"""Why one goes that failed, if there is no rule for how long it stays."""

_DIGITS = 9


def _last(moment: datetime) -> object:
    return object()


def _hour(moment: datetime) -> object:
    """The hour that comes twice when clocks go back is two hours."""
    return (moment.date(), moment.hour, moment.utcoffset())


def _week(moment: datetime) -> object:
    return moment.isocalendar()[:2]


BUCKETS: Mapping[str, Callable[[datetime], object]] = {
    LAST: _last,
    "keep_hourly": _hour,
    "keep_daily": datetime.date,
    "keep_weekly": _week,
    "keep_monthly": lambda moment: (moment.year, moment.month),
    "keep_yearly": lambda moment: moment.year,
}
"""What of a moment makes two checkpoints be of the same hour, day, ..."""

KEYS = (
    *BUCKETS,
    MAX_BACKUPS,
    RETENTION_DURATION,
    FAILED_DURATION,
    KEEP_WITHIN,
    KEEP_VERIFIED,
    COUNT_PARTIAL,
    SCOPE,
)
"""Of a definition: the contract's two, and those that are our own."""


class InvalidRetention(InvalidField):
    code = "retention.invalid"


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """What to keep. 0 and None: no such rule.

    :ivar buckets: by name, how many to keep of a kind; `keep_daily`: the last of each of the last so many
        days that have any.
    :ivar keep_verified: so many of those that last proved good stay whatever the rules say.
    :ivar count_partial: checkpoints that lack something count like whole ones.
    :ivar failed_duration: none that failed and is more days older than the newest good one; 0: none that is
        older than all that the other rules want.
    """

    max_backups: int = 0
    retention_duration: int = 0
    failed_duration: int = 0
    buckets: Mapping[str, int] | None = None
    keep_within: Span | None = None
    keep_verified: int = 1
    count_partial: bool = False
    scope: Scope = OPERATION

    @classmethod
    def parse(cls, definition: Mapping[str, Any], field: str) -> Self:
        """The rules that a definition has among other things.

        :raises InvalidRetention: names the key below `field`.
        """
        for name in definition:
            if name.startswith("keep_") and name not in KEYS:
                raise InvalidRetention(field=join(field, name), reason="is no rule of retention")
        counts = {name: _number(definition.get(name), join(field, name)) for name in BUCKETS}
        return cls(
            max_backups=_number(definition.get(MAX_BACKUPS), join(field, MAX_BACKUPS)),
            retention_duration=_number(definition.get(RETENTION_DURATION), join(field, RETENTION_DURATION)),
            failed_duration=_number(definition.get(FAILED_DURATION), join(field, FAILED_DURATION)),
            buckets={name: count for name, count in counts.items() if count},
            keep_within=_span(definition.get(KEEP_WITHIN), join(field, KEEP_WITHIN)),
            keep_verified=_number(definition.get(KEEP_VERIFIED, 1), join(field, KEEP_VERIFIED)),
            count_partial=_flag(definition.get(COUNT_PARTIAL), join(field, COUNT_PARTIAL)),
            scope=_scope(definition.get(SCOPE), join(field, SCOPE)),
        )

    def shown(self) -> dict[str, Any]:
        """As a definition would say them; those that are not there are left out."""
        within = {} if self.keep_within is None else {KEEP_WITHIN: str(self.keep_within)}
        limits = {
            MAX_BACKUPS: self.max_backups,
            RETENTION_DURATION: self.retention_duration,
            FAILED_DURATION: self.failed_duration,
        }
        own = {KEEP_VERIFIED: self.keep_verified, COUNT_PARTIAL: self.count_partial, SCOPE: self.scope}
        return (
            {name: limit for name, limit in limits.items() if limit} | dict(self.buckets or {}) | within | own
        )

    @property
    def any(self) -> bool:
        """Whether anything that is available can ever expire."""
        return bool(self._limits or self._keeps)

    @property
    def _limits(self) -> bool:
        return bool(self.max_backups or self.retention_duration)

    @property
    def _keeps(self) -> bool:
        return bool(self.buckets or self.keep_within)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A checkpoint that is available, or in error.

    :ivar taken_at: when its data was read, or was to be.
    :ivar failed: it was not saved, was called an error, or could not be deleted: it counts for nothing.
    :ivar damaged: a verification has found so: it counts for nothing, and goes no sooner for that.
    :ivar held: somebody wants it kept; `pinned`: a restore, verification or copy is reading it.
    :ivar mirrors: it is a copy, and what it was made of stays: it would be made again.
    :ivar provider_id: where it lies; `source_id`: what it is a copy of. Told, and not looked at.
    """

    id: str
    taken_at: datetime
    partial: bool = False
    verified: bool = False
    failed: bool = False
    damaged: bool = False
    held: bool = False
    pinned: bool = False
    mirrors: bool = False
    provider_id: str = ""
    source_id: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """:ivar reasons: names of what keeps it, or of the rules it has outlived."""

    candidate: Candidate
    action: Action
    reasons: tuple[str, ...]


def plan(
    candidates: Iterable[Candidate],
    rules: RetentionRules,
    now: datetime,
    zone: tzinfo = UTC,
    halted: str | None = None,
) -> list[Verdict]:
    """What stays and what goes, newest first.

    :param candidates: every checkpoint that retention looks at, available or in error, in any order.
    :param now: what was taken later, by a clock that was wrong, stays and counts for nothing.
    :param zone: whose days, weeks, months and years count.
    :param halted: why nothing may go at all.
    """
    ordered = sorted(candidates, key=lambda each: (each.taken_at, each.id), reverse=True)
    past = [each for each in ordered if each.taken_at <= now]
    wanted = _merged(_wanted_of_all(past, rules, zone), _protected(past, ordered, rules))
    if halted is not None:
        wanted = _merged(wanted, dict.fromkeys((each.id for each in ordered), (halted,)))
    return [_verdict(each, wanted.get(each.id, ()), rules) for each in ordered]


def _verdict(candidate: Candidate, wanted: tuple[str, ...], rules: RetentionRules) -> Verdict:
    if wanted:
        return Verdict(candidate, "keep", wanted)
    return Verdict(candidate, "remove", _outlived(candidate, rules))


def _outlived(candidate: Candidate, rules: RetentionRules) -> tuple[str, ...]:
    if candidate.failed:
        return (FAILED_DURATION if rules.failed_duration else FAILED,)
    limits = [name for name in (MAX_BACKUPS, RETENTION_DURATION) if getattr(rules, name)]
    within = [KEEP_WITHIN] if rules.keep_within else []
    return (*limits, *(rules.buckets or {}), *within)


# --- what no rule may take ---


def _protected(
    past: Sequence[Candidate], ordered: Sequence[Candidate], rules: RetentionRules
) -> dict[str, tuple[str, ...]]:
    good = [each for each in past if _counts(each, rules)]
    verified = [each for each in good if each.verified][: rules.keep_verified]
    kinds: list[tuple[str, Iterable[Candidate]]] = [
        ("newest", good[:1] or [each for each in past if not each.failed][:1]),
        ("verified", verified),
        ("held", (each for each in ordered if each.held)),
        ("pinned", (each for each in ordered if each.pinned)),
        ("source", (each for each in ordered if each.mirrors)),
        ("future", ordered[: len(ordered) - len(past)]),
    ]
    return _named(kinds)


def _counts(candidate: Candidate, rules: RetentionRules) -> bool:
    return not (candidate.failed or candidate.damaged) and (rules.count_partial or not candidate.partial)


# --- what the rules want ---


def _wanted_of_all(
    past: Sequence[Candidate], rules: RetentionRules, zone: tzinfo
) -> dict[str, tuple[str, ...]]:
    available = [each for each in past if not each.failed]
    wanted = _wanted(available, rules, zone)
    failures = [each for each in past if each.failed]
    return wanted | _failures(failures, [each for each in available if each.id in wanted], rules, zone)


def _failures(
    failures: Sequence[Candidate], wanted: Sequence[Candidate], rules: RetentionRules, zone: tzinfo
) -> dict[str, tuple[str, ...]]:
    """Those that stay: they tell what went wrong as long as others of their time are there.

    :param wanted: what the rules want of those that are available, newest first.
    """
    if not (rules.any or rules.failed_duration):
        return _named([("no_rule", failures)])
    good = [each for each in wanted if _counts(each, rules)]
    if not good:
        return _named([("nothing_good", failures)])
    start = good[-1].taken_at
    if rules.failed_duration:
        start = Span(days=rules.failed_duration).before(good[0].taken_at, zone)
    return _named([("failed_lately", _since(failures, start))])


def _wanted(past: Sequence[Candidate], rules: RetentionRules, zone: tzinfo) -> dict[str, tuple[str, ...]]:
    """The contract's limits all hold, and each of the other rules wants something of its own."""
    if not rules.any:
        return _named([("no_rule", past)])
    newest = next((each for each in past if _counts(each, rules)), None)
    if newest is None:
        return _named([("nothing_good", past)])
    kinds: list[tuple[str, Iterable[Candidate]]] = []
    if rules._limits:
        kinds.append(("limits", _inside_limits(past, rules, newest, zone)))
    for name, count in (rules.buckets or {}).items():
        kinds.append((name, _firsts(past, rules, count, BUCKETS[name], zone)))
    if rules.keep_within is not None:
        kinds.append((KEEP_WITHIN, _since(past, rules.keep_within.before(newest.taken_at, zone))))
    return _named(kinds)


def _inside_limits(
    past: Sequence[Candidate], rules: RetentionRules, newest: Candidate, zone: tzinfo
) -> list[Candidate]:
    found = list(past)
    if rules.max_backups:
        found = list(_firsts(found, rules, rules.max_backups, _last, zone))
    if rules.retention_duration:
        found = _since(found, Span(days=rules.retention_duration).before(newest.taken_at, zone))
    return found


def _since(candidates: Sequence[Candidate], start: datetime) -> list[Candidate]:
    return [each for each in candidates if each.taken_at >= start]


def _firsts(
    past: Sequence[Candidate],
    rules: RetentionRules,
    count: int,
    bucket: Callable[[datetime], object],
    zone: tzinfo,
) -> Iterator[Candidate]:
    """The newest of each of the last `count` buckets. What is partial or damaged stays where a good one in
    its place would, and takes nobody's place."""
    seen: object = None
    for each in past:
        found = bucket(each.taken_at.astimezone(zone))
        if count and found != seen:
            yield each
            if _counts(each, rules):
                seen, count = found, count - 1


def _named(kinds: Iterable[tuple[str, Iterable[Candidate]]]) -> dict[str, tuple[str, ...]]:
    """Names by the id of what they stand for."""
    found: dict[str, tuple[str, ...]] = {}
    for name, candidates in kinds:
        for each in candidates:
            found[each.id] = (*found.get(each.id, ()), name)
    return found


def _merged(
    one: Mapping[str, tuple[str, ...]], other: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    return {id: (*one.get(id, ()), *other.get(id, ())) for id in one.keys() | other.keys()}


# --- values of a definition ---


def _number(value: Any, field: str) -> int:
    """At least 0; what is less means none, as in the contract."""
    if value is None:
        return 0
    text = str(value).strip() if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS):
        raise InvalidRetention(field=field, reason="must be a whole number")
    return max(0, int(text))


def _span(value: Any, field: str) -> Span | None:
    if value is None or value == "":
        return None
    try:
        return Span.parse(value if isinstance(value, str) else "")
    except ValueError:
        reason = "must be a length of time such as 30d, 1y6m or P30D"
        raise InvalidRetention(field=field, reason=reason) from None


def _flag(value: Any, field: str) -> bool:
    """Clients that know no other kind of value write it as text."""
    word = str(value).lower()
    if word not in ("none", "true", "false"):
        raise InvalidRetention(field=field, reason="must be true or false")
    return word == "true"


def _scope(value: Any, field: str) -> Scope:
    for scope in SCOPES:
        if value in (None, scope):
            return scope
    raise InvalidRetention(field=field, reason=f"must be one of {', '.join(SCOPES)}")
