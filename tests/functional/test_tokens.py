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


def test_revoking_what_is_not_there_says_so(any_database: Database) -> None:
    with pytest.raises(TokenNotFound), any_database.write() as uow:
        tokens.revoke(uow, "nothing", NOW)


@pytest.mark.parametrize("odd", ["", "ü😀", "\udcff", "x" * 10_000, "' OR '1'='1"])
def test_odd_text_is_an_unknown_token(any_database: Database, odd: str) -> None:
    issue(any_database)
    assert tokens.Lookup(any_database, ManualClock(NOW)).by_digest(tokens.digest(odd)) is None
