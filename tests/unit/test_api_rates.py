"""Rules of rate limits, their counters, and whose bucket a request takes from."""

from __future__ import annotations

import pytest

from protectd.api.middleware.ratelimit import address_of
from protectd.api.rates import Counter, parse_rules
from protectd.common.errors import ConfigurationError


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
