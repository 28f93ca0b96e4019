"""Keys of repeated requests: taken once, answered as they were, purged."""

from __future__ import annotations

from datetime import datetime, timedelta

from protectd.model.base import utc_now
from protectd.model.unit_of_work import Database

pytest_plugins = ["tests.fakes.databases"]

NOW = utc_now()
DAY = timedelta(days=1)


def take(database: Database, id: str, now: datetime = NOW, digest: str = "digest") -> bool:
    """Whether it was free."""
    with database.write() as uow:
        if uow.idempotency_keys.begin(id, digest, now, DAY) is not None:
            return False
        uow.idempotency_keys.keep(id, 202, "http://here/é", {"a": [1, None, "\\u0000", 1.5]})
        return True


def test_it_is_taken_once_and_remembers_the_answer(any_database: Database) -> None:
    assert take(any_database, "one")
    with any_database.write() as uow:
        earlier = uow.idempotency_keys.begin("one", "other", NOW + timedelta(hours=23), DAY)
        assert earlier is not None
        assert (earlier.body_digest, earlier.status, earlier.location) == ("digest", 202, "http://here/é")
        assert earlier.body == {"a": [1, None, "\\u0000", 1.5]}


def test_it_is_free_again_when_its_unit_of_work_comes_to_nothing(any_database: Database) -> None:
    uow = any_database.begin(write=True)
    assert uow.idempotency_keys.begin("one", "digest", NOW, DAY) is None
    uow.flush()
    uow.close()
    assert take(any_database, "one")


def test_an_old_one_is_taken_over_without_its_answer(any_database: Database) -> None:
    assert take(any_database, "one")
    with any_database.write() as uow:
        assert uow.idempotency_keys.begin("one", "new", NOW + DAY, DAY) is None
    with any_database.write() as uow:
        earlier = uow.idempotency_keys.begin("one", "new", NOW + DAY, DAY)
        assert earlier is not None
        assert (earlier.body_digest, earlier.status, earlier.body) == ("new", None, None)


def test_only_a_kept_answer_can_be_amended(any_database: Database) -> None:
    take(any_database, "kept")
    with any_database.write() as uow:
        uow.idempotency_keys.begin("secret", "digest", NOW, DAY)
    with any_database.write() as uow:
        for id in ("kept", "secret", "absent"):
            uow.idempotency_keys.amend(id, "new")
    with any_database.write() as uow:
        found = [uow.idempotency_keys.begin(id, "digest", NOW, DAY) for id in ("kept", "secret")]
        assert [row.body for row in found if row] == ["new", None]


def test_the_oldest_are_purged_first_and_not_more_than_is_asked_for(any_database: Database) -> None:
    for age_days in (3, 2, 1, 0):
        take(any_database, f"{age_days} days", NOW - age_days * DAY)
    with any_database.write() as uow:
        assert uow.idempotency_keys.purge(NOW - DAY, limit=1) == 1
    assert take(any_database, "3 days")
    with any_database.write() as uow:
        assert uow.idempotency_keys.purge(NOW - DAY, limit=10) == 1
        assert uow.idempotency_keys.purge(NOW - DAY, limit=10) == 0
    assert not take(any_database, "1 days", NOW - timedelta(hours=1))
