"""Rules of a rate limit, what counts them, and where a caller stands.

A rule is a line `VERB PATH-REGEX RATE`, such as `POST ^/v1/[^/]+/plans$ 10/minute`; the verb `*` stands for
any, HEAD counts as GET.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import limits
from limits.errors import ConfigurationError as LimitsConfigurationError
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter

from protectd.api.buckets import Bucket, Buckets, FixedWindow, MovingWindow
from protectd.common.errors import ConfigurationError

STRATEGIES: dict[str, tuple[Any, Callable[[int, float], Bucket]]] = {
    "moving-window": (MovingWindowRateLimiter, MovingWindow),
    "fixed-window": (FixedWindowRateLimiter, FixedWindow),
}
"""How a storage that others share is counted in, and how this process counts by itself."""

STORAGE_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class Rule:
    text: str
    verb: str
    path: re.Pattern[str]
    rate: Any

    def matches(self, verb: str, path: str) -> bool:
        return self.verb in ("*", verb) and self.path.search(path) is not None


@dataclass(frozen=True)
class Standing:
    """Where a caller stands with one rule after this request. `reset_at`: seconds of the epoch."""

    rule: Rule
    refused: bool
    remaining: int
    reset_at: float

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [
            ("X-RateLimit-Limit", str(self.rule.rate.amount)),
            ("X-RateLimit-Remaining", str(self.remaining)),
            ("X-RateLimit-Reset", str(math.ceil(self.reset_at))),
        ]


Take = Callable[[Rule, str], Standing]


def parse_rules(text: str) -> list[Rule]:
    """:raises ConfigurationError: names the line that is no rule."""
    lines = (line.strip() for line in text.splitlines())
    return [_parse_rule(line) for line in lines if line and not line.startswith("#")]


def _parse_rule(line: str) -> Rule:
    try:
        verb, path, rate = line.split(None, 2)
        return Rule(line, verb.upper(), re.compile(path), limits.parse(rate))
    except (ValueError, re.error) as error:
        raise ConfigurationError(where=f"rate limit rule {line!r}", reason=str(error)) from error


class Counter:
    """Takes from rules, in a storage that several processes may share.

    :param storage_url: `memory://`, `redis://host:port`, ... as the limits library names them.
    :raises ConfigurationError: an unknown storage or strategy, or a library that it needs is missing.

    Every call raises `limits.errors.StorageError` when the storage is away.
    """

    def __init__(self, storage_url: str = "memory://", strategy: str = "moving-window") -> None:
        if strategy not in STRATEGIES:
            raise ConfigurationError(where="ratelimit", reason=f"unknown strategy {strategy!r}")
        shared, own = STRATEGIES[strategy]
        self._take = _here(own) if storage_url == "memory://" else _there(shared(_storage(storage_url)))

    def take(self, rule: Rule, key: str) -> Standing:
        return self._take(rule, key)


def _here(kind: Callable[[int, float], Bucket]) -> Take:
    buckets = Buckets(kind)

    def take(rule: Rule, key: str) -> Standing:
        taken = buckets.take(rule.text, key, rule.rate.amount, rule.rate.get_expiry())
        return Standing(rule, not taken.allowed, taken.remaining, time.time() + taken.reset_s)

    return take


def _there(limiter: Any) -> Take:
    def take(rule: Rule, key: str) -> Standing:
        taken = limiter.hit(rule.rate, rule.text, key)
        stats = limiter.get_window_stats(rule.rate, rule.text, key)
        return Standing(rule, not taken, max(0, stats.remaining), stats.reset_time)

    return take


def _storage(url: str) -> Any:
    """The URL may hold a password, so messages name its scheme only."""
    scheme = url.partition(":")[0]
    timeouts = {"socket_timeout": STORAGE_TIMEOUT_S, "socket_connect_timeout": STORAGE_TIMEOUT_S}
    options = timeouts if scheme.startswith("redis") else {}
    try:
        return storage_from_string(url, wrap_exceptions=True, **options)
    except LimitsConfigurationError as error:
        raise ConfigurationError(where="ratelimit", reason=f"storage {scheme!r} cannot be used") from error
