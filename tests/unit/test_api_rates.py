"""Rules of rate limits, their counters, and whose bucket a request takes from."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protectd.api.buckets import SWEEP_S, Buckets, FixedWindow, MovingWindow
from protectd.api.middleware.ratelimit import address_of
from protectd.api.rates import Counter, parse_rules
from protectd.common.errors import ConfigurationError
from tests.fakes.clock import ManualClock


def test_rules_are_lines_and_comments_are_none() -> None:
    (rule, other) = parse_rules("\n  # no rule\n post ^/v1/[^/]+/plans$ 10/minute\n\n* ^/ 5 per hour\n")
    assert (rule.verb, rule.rate.amount, other.verb, other.rate.amount) == ("POST", 10, "*", 5)
    assert rule.matches("POST", "/v1/p/plans")
    assert not rule.matches("GET", "/v1/p/plans")
    assert not rule.matches("POST", "/v1/p/plans/x")
    assert other.matches("BREW", "/anything")


@pytest.mark.parametrize(
    "line", ["POST", "POST ^/", "POST ( 1/minute", "POST ^/ often", "POST ^/ 1/fortnight"]
)
def test_a_line_that_is_no_rule_is_shown(line: str) -> None:
    with pytest.raises(ConfigurationError, match="rate limit rule") as caught:
        parse_rules(line)
    assert line in caught.value.facts["where"]


@pytest.mark.parametrize("strategy", ["moving-window", "fixed-window"])
def test_two_rules_and_two_keys_do_not_share_a_bucket(strategy: str) -> None:
    one, two = parse_rules("GET ^/a 2/hour\nGET ^/b 2/hour")
    counter = Counter(strategy=strategy)
    assert [counter.take(one, "x").remaining for _ in range(2)] == [1, 0]
    assert counter.take(one, "x").refused
    assert not counter.take(one, "y").refused
    assert not counter.take(two, "x").refused


def test_an_unknown_storage_is_told_without_its_password() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Counter("carrier-pigeon://user:hush@roof")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("peer", "forwarded", "trust", "key"),
    [
        ("192.0.2.1", "", False, "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", False, "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9, 198.51.100.7", True, "198.51.100.7"),
        ("192.0.2.1", "junk", True, "192.0.2.1"),
        ("2001:db8::1", "", False, "2001:db8::/64"),
        ("2001:db8::ffff", "", False, "2001:db8::/64"),
        ("", "", True, ""),
    ],
)
def test_the_bucket_of_an_address(peer: str, forwarded: str, trust: bool, key: str) -> None:
    environ = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}
    assert address_of(environ, trust_forwarded=trust) == key


def buckets(kind: Any) -> tuple[Buckets, ManualClock]:
    clock = ManualClock(datetime(2024, 5, 1, tzinfo=UTC))
    return Buckets(kind, clock.monotonic), clock


@given(pauses=st.lists(st.floats(0, 4), max_size=60), amount=st.integers(0, 5))
def test_no_window_ever_has_more_than_its_amount(pauses: list[float], amount: int) -> None:
    made, clock = buckets(MovingWindow)
    let_in: list[float] = []
    for pause in pauses:
        clock.sleep(pause)
        now = clock.monotonic()
        recent = [moment for moment in let_in if moment >= now - 10]
        taken = made.take("rule", "key", amount, 10)
        assert taken.allowed == (len(recent) < amount), "not one more, not one less"
        let_in += [now] if taken.allowed else []
        assert taken.remaining == amount - len(recent) - taken.allowed
        oldest = min([*recent, now])
        assert taken.reset_s == pytest.approx(oldest + 10 - now)


def test_a_fixed_window_begins_with_the_first_request_and_starts_over_when_it_ends() -> None:
    made, clock = buckets(FixedWindow)
    first = [made.take("rule", "key", 2, 10) for _ in range(3)]
    assert [(each.allowed, each.remaining) for each in first] == [(True, 1), (True, 0), (False, 0)]
    clock.sleep(9)
    assert made.take("rule", "key", 2, 10).reset_s == pytest.approx(1)
    clock.sleep(1)
    assert made.take("rule", "key", 2, 10).allowed


@pytest.mark.parametrize("kind", [MovingWindow, FixedWindow])
def test_addresses_that_are_gone_are_forgotten(kind: Any) -> None:
    made, clock = buckets(kind)
    for number in range(100):
        made.take("rule", f"address {number}", 5, 1)
    clock.sleep(SWEEP_S + 0.1)
    made.take("rule", "another", 5, 60)
    assert len(made) == 1


def test_threads_take_no_more_than_there_is() -> None:
    made = Buckets(MovingWindow)
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: made.take("rule", "key", 300, 3600).allowed, range(1000)))
    assert sum(taken) == 300
