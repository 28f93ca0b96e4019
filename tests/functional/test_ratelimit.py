"""Rate limits: one bucket for each project and rule, one for each address before anyone is known."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from webtest import TestResponse

from tests.fakes.servers import need_port
from tests.fakes.service import PASTE_FILE, Client, Service, fault_of, running

REDIS = "redis://127.0.0.1:6379/9"
RULES = """
[filter:{name}]
paste.filter_factory = protectd.api.middleware.ratelimit:{factory}
{options}
rules =
    # a comment
    {rules}
"""


def paste(name: str, factory: str, *rules: str, options: str = "") -> str:
    """The shipped pipeline with rules for one of its filters."""
    before, header, rest = PASTE_FILE.read_text().partition(f"[filter:{name}]")
    assert header
    behind = rest[rest.index("\n[") :]
    return (
        before
        + RULES.format(name=name, factory=factory, options=options, rules="\n    ".join(rules))
        + behind
    )


def limited(*rules: str, options: str = "") -> str:
    return paste("ratelimit", "filter_factory", *rules, options=options)


def left(answer: TestResponse) -> int:
    return int(answer.headers["X-RateLimit-Remaining"])


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    text = limited(
        "GET ^/v1/[^/]+/plans$ 3/hour",
        "DELETE ^/v1/ 1/hour",
        "PUT ^/v1/ 1/hour",
        "PATCH ^/v1/ 1/hour",
        "* ^/v1/[^/]+/restores 2/hour",
        "GET ^/v1/[^/]+/providers$ 1/second",
    )
    with running(tmp_path_factory.mktemp("few"), paste=text) as service:
        yield service


def test_there_is_no_rule_by_default(member: Client) -> None:
    assert "X-RateLimit-Limit" not in member.call("GET", "plans").headers


def test_each_answer_tells_what_is_left_and_the_one_too_many_is_429(few: Service) -> None:
    member = few.client()
    for remaining in (2, 1, 0):
        answer = member.call("GET", "plans")
        assert (answer.status_int, answer.headers["X-RateLimit-Limit"], left(answer)) == (200, "3", remaining)
        assert int(answer.headers["X-RateLimit-Reset"]) > 0
    answer = member.call("GET", "plans")
    fault = fault_of(answer)
    assert (fault["code"], fault["name"], left(answer)) == (429, "overLimit", 0)
    assert 1 <= int(answer.headers["Retry-After"]) <= 3600
    assert fault["retryAfter"] == int(answer.headers["Retry-After"])


def test_the_bucket_is_the_projects_whoever_asks(few: Service) -> None:
    one = few.client()
    same, other = few.client(one.project_id), few.client()
    for client in (one, same, one):
        assert client.call("GET", "plans").status_int == 200
    assert same.call("GET", "plans").status_int == 429
    assert other.call("GET", "plans").status_int == 200


def test_head_takes_from_the_bucket_of_get(few: Service) -> None:
    member = few.client()
    for _ in range(3):
        member.call("HEAD", "plans")
    assert member.call("GET", "plans").status_int == 429


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_every_verb_can_have_a_rule(few: Service, method: str) -> None:
    member = few.client()
    assert member.call(method, f"plans/{uuid.uuid4()}").status_int in (400, 404, 405)
    assert member.call(method, f"plans/{uuid.uuid4()}").status_int == 429


def test_a_star_stands_for_any_verb(few: Service) -> None:
    member = few.client()
    member.call("GET", "restores")
    member.call("POST", "restores", {})
    assert member.call("GET", "restores").status_int == 429


def test_a_caller_who_waits_is_let_in_again(few: Service) -> None:
    member = few.client()
    seen = [member.call("GET", "providers").status_int]
    while 429 not in seen:
        seen.append(member.call("GET", "providers").status_int)
    while seen[-1] == 429:
        time.sleep(0.1)
        seen.append(member.call("GET", "providers").status_int)
    assert seen[-1] == 200


def test_a_stranger_is_not_counted_behind_authentication(few: Service) -> None:
    for _ in range(5):
        answer = few.app.get("/v1/x/plans", expect_errors=True)
        assert (answer.status_int, "X-RateLimit-Limit" in answer.headers) == (401, False)


def test_the_former_status_is_an_option(tmp_path: Path) -> None:
    with running(tmp_path, paste=limited("GET ^/v1/ 1/hour", options="status = 413")) as service:
        member = service.client()
        member.call("GET", "plans")
        answer = member.call("GET", "plans")
        assert answer.status_int == 413
        assert int(answer.headers["Retry-After"]) >= 1


def test_addresses_are_counted_before_anyone_is_known(tmp_path: Path) -> None:
    text = paste("ratelimit_address", "address_filter_factory", "* ^/ 2/hour")
    with running(tmp_path, paste=text) as service:
        for _ in range(2):
            service.app.get("/v1/x/plans", extra_environ={"REMOTE_ADDR": "192.0.2.1"}, status=401)
        far = {"REMOTE_ADDR": "192.0.2.1", "HTTP_X_FORWARDED_FOR": "198.51.100.7"}
        service.app.get("/v1/x/plans", extra_environ=far, status=429)
        service.app.get("/v1/x/plans", extra_environ={"REMOTE_ADDR": "192.0.2.2"}, status=401)


def test_two_processes_share_the_count_in_redis(tmp_path: Path) -> None:
    need_port(6379, "Redis")
    text = limited("GET ^/v1/[^/]+/plans$ 2/hour", options=f"storage = {REDIS}")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with running(tmp_path / "a", paste=text) as one, running(tmp_path / "b", paste=text) as two:
        here = one.client()
        there = two.client(here.project_id)
        assert left(here.call("GET", "plans")) == 1
        assert left(there.call("GET", "plans")) == 0
        assert here.call("GET", "plans").status_int == 429
    redis.Redis.from_url(REDIS).flushdb()


def test_a_storage_that_is_away_lets_everyone_pass(tmp_path: Path) -> None:
    text = limited("GET ^/v1/ 1/hour", options="storage = redis://127.0.0.1:1")
    with running(tmp_path, paste=text) as service:
        member = service.client()
        for _ in range(3):
            assert member.call("GET", "plans").status_int == 200
