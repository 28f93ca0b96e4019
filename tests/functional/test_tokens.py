"""Tokens: found by digest while they live, and never kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from protectd.domain import tokens
from protectd.model.repositories.tokens import TokenNotFound
from protectd.model.unit_of_work import Database
from protectd.plugin.base import Identity
from tests.fakes.clock import ManualClock

pytest_plugins = ["tests.fakes.databases"]

NOW = datetime(2024, 5, 1, tzinfo=UTC)


def issue(database: Database, ttl_s: float | None = None) -> str:
    with database.write() as uow:
        return tokens.issue(uow, "project", "user", ["member", "reader"], ttl_s, NOW, name="laptop")


def test_a_token_gives_the_identity_it_was_made_for(any_database: Database) -> None:
    token = issue(any_database)
    found = tokens.Lookup(any_database, ManualClock(NOW)).by_digest(tokens.digest(token))
    assert found == Identity("user", "project", ("member", "reader"))


def test_a_token_has_256_random_bits_and_is_not_kept(any_database: Database) -> None:
    one, other = issue(any_database), issue(any_database)
    assert one != other and len(one) >= 43
    with any_database.read() as uow:
        kept = [str(row) for row in uow.session.execute(text("SELECT * FROM tokens"))]
        assert len(kept) == 2
        assert not any(token in row for token in (one, other) for row in kept)
        assert uow.tokens.by_digest(tokens.digest(one)).name == "laptop"


def test_an_expired_token_is_like_an_unknown_one(any_database: Database) -> None:
    digest = tokens.digest(issue(any_database, ttl_s=60))
    clock = ManualClock(NOW)
    lookup = tokens.Lookup(any_database, clock)
    clock.sleep(59.999)
    assert lookup.by_digest(digest) is not None
    clock.sleep(0.001)
    assert lookup.by_digest(digest) is None
    assert lookup.by_digest(tokens.digest("unknown")) is None


def test_a_revoked_token_is_refused_at_once_and_stays_revoked(any_database: Database) -> None:
    digest = tokens.digest(issue(any_database))
    lookup = tokens.Lookup(any_database, ManualClock(NOW))
    assert lookup.by_digest(digest) is not None
    with any_database.write() as uow:
        token_id = uow.tokens.by_digest(digest).id
        tokens.revoke(uow, token_id, NOW)
        tokens.revoke(uow, token_id, NOW + timedelta(days=1))
    assert lookup.by_digest(digest) is None
    with any_database.read() as uow:
        assert uow.tokens.get(token_id).revoked_at == NOW


class Counted:
    """A lookup that counts how often it is asked."""

    def __init__(self, lookup: tokens.Lookup) -> None:
        self._lookup = lookup
        self.asked = 0

    def by_digest(self, digest: str) -> Identity | None:
        self.asked += 1
        return self._lookup.by_digest(digest)


def remembering(database: Database, most: int = 10) -> tuple[tokens.Remembering, Counted, ManualClock]:
    clock = ManualClock(NOW)
    counted = Counted(tokens.Lookup(database, clock))
    return tokens.Remembering(counted, clock, memory_s=1.0, most=most), counted, clock


def test_a_live_token_is_looked_up_once_a_second(any_database: Database) -> None:
    digest = tokens.digest(issue(any_database))
    lookup, counted, clock = remembering(any_database)
    for _ in range(25):
        assert lookup.by_digest(digest) == Identity("user", "project", ("member", "reader"))
        clock.sleep(0.1)
    assert counted.asked == 3


def test_a_revoked_token_is_remembered_for_a_second_at_most(any_database: Database) -> None:
    digest = tokens.digest(issue(any_database))
    lookup, _, clock = remembering(any_database)
    assert lookup.by_digest(digest) is not None
    with any_database.write() as uow:
        tokens.revoke(uow, uow.tokens.by_digest(digest).id, NOW)
    clock.sleep(1.0)
    assert lookup.by_digest(digest) is None
    assert lookup.by_digest(digest) is None


def test_a_remembered_token_expires_to_the_moment(any_database: Database) -> None:
    digest = tokens.digest(issue(any_database, ttl_s=60))
    lookup, _, clock = remembering(any_database)
    clock.sleep(59.9)
    assert lookup.by_digest(digest) is not None
    clock.sleep(0.1)
    assert lookup.by_digest(digest) is None


def test_unknown_tokens_are_not_remembered_and_memory_is_bounded(any_database: Database) -> None:
    lookup, counted, _ = remembering(any_database, most=3)
    digests = [tokens.digest(f"guess {number}") for number in range(5)]
    assert {lookup.by_digest(digest) for digest in digests * 2} == {None}
    assert counted.asked == 10
    live = [tokens.digest(issue(any_database)) for _ in range(4)]
    assert all(lookup.by_digest(digest) for digest in live)
    assert len(vars(lookup)["_known"]) <= 3


def test_revoking_what_is_not_there_says_so(any_database: Database) -> None:
    with pytest.raises(TokenNotFound), any_database.write() as uow:
        tokens.revoke(uow, "nothing", NOW)


@pytest.mark.parametrize("odd", ["", "ü😀", "\udcff", "x" * 10_000, "' OR '1'='1"])
def test_odd_text_is_an_unknown_token(any_database: Database, odd: str) -> None:
    issue(any_database)
    assert tokens.Lookup(any_database, ManualClock(NOW)).by_digest(tokens.digest(odd)) is None


def test_no_token_looks_like_an_option_of_a_command(any_database: Database) -> None:
    with any_database.write() as uow:
        made = [tokens.issue(uow, "project", "user", ["member"], 1, datetime.now(UTC)) for _ in range(500)]
    assert [each for each in made if each.startswith("-")] == []
