"""The time of the database, whatever the host's clock says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from protectd.common.clock import SystemClock
from protectd.model.clock import DatabaseClock
from tests.fakes.clock import ManualClock

pytest_plugins = ["tests.fakes.databases"]

ASK = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
    "mariadb": "SELECT unix_timestamp(now(6))",
}
SERVERS = pytest.mark.parametrize("any_url", sorted(ASK), indirect=True)


@SERVERS
def test_it_is_the_databases_time_by_microseconds(any_database):
    clock = DatabaseClock(SystemClock())
    with any_database.read() as uow:
        clock.learn(uow.session)
        kind = uow.session.get_bind().dialect.name.replace("mysql", "mariadb")
        told = datetime.fromtimestamp(float(uow.session.scalar(text(ASK[kind]))), UTC)
    assert abs(clock.now() - told) < timedelta(seconds=30)
    assert clock.now().tzinfo is UTC


@SERVERS
def test_a_host_whose_clock_is_wrong_goes_right(any_database):
    wrong = ManualClock(datetime(2001, 1, 1, tzinfo=UTC))
    clock = DatabaseClock(wrong)
    assert clock.now().year == 2001
    with any_database.read() as uow:
        clock.learn(uow.session)
    first = clock.now()
    assert first.year > 2020
    wrong.advance(90)
    assert clock.now() - first == timedelta(seconds=90)


def test_a_file_has_no_time_of_its_own(sqlite_database):
    own = ManualClock()
    clock = DatabaseClock(own)
    with sqlite_database.read() as uow:
        clock.learn(uow.session)
    assert clock.now() == own.now()
    clock.sleep(5)
    assert clock.monotonic() == own.monotonic() == 5
