"""Connections between two units of work: nothing stays open, and one that died at rest is replaced."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from protectd.model import resting
from protectd.model.base import MYSQL_FAMILY
from protectd.model.errors import DatabaseUnavailable
from protectd.model.models import Gate
from protectd.model.unit_of_work import Database, UnitOfWork
from tests.fakes.cuts import GONE

pytest_plugins = ["tests.fakes.databases"]

LOCK = {
    "postgresql": text("SELECT name FROM gates WHERE name = 'a' FOR UPDATE NOWAIT"),
    "mysql": text("SELECT name FROM gates WHERE name = 'a' FOR UPDATE NOWAIT"),
    "sqlite": text("SELECT name FROM gates WHERE name = 'a'"),
}
ID = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT connection_id()"}
KILL = {"postgresql": "SELECT pg_terminate_backend(:id)", "mysql": "KILL :id"}


@pytest.fixture
def database(any_url: str, any_database: Database) -> Iterator[Database]:
    """One connection, used again and again."""
    made = Database(any_url, pool_size=1, max_overflow=0)
    with made.write() as uow:
        uow.session.add(Gate(name="a"))
    yield made
    made.dispose()


def lock(database: Database) -> None:
    with database.write() as uow:
        uow.session.execute(LOCK[database.engine.dialect.name])


def test_a_unit_of_work_that_breaks_off_leaves_neither_lock_nor_change(
    database: Database, any_database: Database
) -> None:
    with pytest.raises(KeyError), database.write() as uow:
        uow.session.execute(text("UPDATE gates SET name = 'b'"))
        raise KeyError
    lock(any_database)


def test_a_statement_that_fails_leaves_no_lock(database: Database, any_database: Database) -> None:
    with pytest.raises(Exception, match="nonsense"), database.write() as uow:
        uow.session.execute(LOCK[database.engine.dialect.name])
        uow.session.execute(text("SELECT nonsense FROM gates"))
    lock(any_database)


def test_what_was_only_read_under_lock_is_free_afterwards(database: Database, any_database: Database) -> None:
    uow = database.begin(write=True)
    uow.session.execute(LOCK[database.engine.dialect.name])
    uow.close()
    lock(any_database)


def test_a_commit_that_fails_leaves_nothing_open(
    database: Database, any_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere the server itself has ended a transaction whose commit fails."""
    dialect = database.engine.dialect
    if dialect.name not in MYSQL_FAMILY:
        return

    def fail(connection: object) -> None:
        raise dialect.loaded_dbapi.ProgrammingError("not now")

    with monkeypatch.context() as patched:
        patched.setattr(dialect, "do_commit", fail)
        with pytest.raises(ProgrammingError), database.write() as uow:
            uow.session.execute(LOCK[dialect.name])
    lock(any_database)


def test_a_connection_that_died_at_rest_is_replaced(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database.engine.dialect.name == "sqlite":
        return
    monkeypatch.setattr(resting, "FRESH_S", -1.0)
    _kill(database)
    lock(database)


def test_one_that_dies_sooner_is_told_of_and_the_next_is_sound(database: Database) -> None:
    if database.engine.dialect.name == "sqlite":
        return
    _kill(database)
    with pytest.raises(DatabaseUnavailable), database.write() as uow:
        uow.session.execute(text("SELECT 1"))
    lock(database)


def test_the_one_that_was_used_last_is_used_next(any_url: str, any_database: Database) -> None:
    """The others rest, and are not tried each in its turn."""
    used: list[int] = []
    made = Database(any_url, pool_size=2, max_overflow=0)
    event.listen(made.engine, "checkout", lambda connection, entry, proxy: used.append(id(connection)))
    with made.read() as one, made.read() as other:
        for uow in (one, other):
            uow.session.execute(text("SELECT 1"))
    for _ in range(3):
        with made.read() as uow:
            uow.session.execute(text("SELECT 1"))
    made.dispose()
    assert len(set(used)) == 2 and len(set(used[2:])) == 1


def test_readers_in_a_row_have_no_transaction_and_need_no_rollback(database: Database) -> None:
    if database.engine.dialect.name == "sqlite":
        return
    for _ in range(resting.PATIENCE + 1):
        names(database)
    rolled_back = rollbacks(database)
    for _ in range(3):
        with database.read() as uow:
            uow.session.execute(NAMES)
            assert not is_in_transaction(uow)
    assert rollbacks(database) == rolled_back


def test_a_writer_after_readers_has_one_and_so_have_readers_that_alternate_with_writers(
    database: Database, any_database: Database
) -> None:
    for readers in (0, 1, resting.PATIENCE + 1):
        for _ in range(readers):
            assert names(database) == ["a"]
        with pytest.raises(KeyError), database.write() as uow:
            uow.session.execute(text("UPDATE gates SET name = 'b'"))
            raise KeyError
        assert names(any_database) == ["a"]
        lock(any_database)
        with database.write() as uow:
            uow.session.execute(text("UPDATE gates SET name = 'a'"))
            assert is_in_transaction(uow)


def test_a_statement_that_fails_a_reader_harms_no_writer(database: Database, any_database: Database) -> None:
    for _ in range(resting.PATIENCE + 1):
        names(database)
    with pytest.raises(Exception, match="nonsense"), database.read() as uow:
        uow.session.execute(text("SELECT nonsense FROM gates"))
    lock(database)
    assert names(database) == names(any_database) == ["a"]


NAMES = text("SELECT name FROM gates")


def names(database: Database) -> list[str]:
    with database.read() as uow:
        return list(uow.session.scalars(NAMES))


def is_in_transaction(uow: UnitOfWork) -> bool:
    """As the server tells."""
    driver: Any = uow.session.connection().connection.dbapi_connection
    match uow.session.get_bind().dialect.name:
        case "postgresql":
            return driver.info.transaction_status != driver.info.transaction_status.IDLE
        case "sqlite":
            return bool(driver.in_transaction)
    return bool(uow.session.scalar(text("SELECT @@in_transaction")))


def rollbacks(database: Database) -> int:
    """How many MySQL was asked for on the one connection. PostgreSQL is asked for none without a BEGIN."""
    if database.engine.dialect.name not in MYSQL_FAMILY:
        return 0
    with database.read() as uow:
        return int(uow.session.execute(text("SHOW SESSION STATUS LIKE 'Com_rollback'")).one()[1])


def _kill(database: Database) -> None:
    """The server ends the connection that rests in the pool."""
    kind = database.engine.dialect.name
    with database.read() as uow:
        id = uow.session.scalar(text(ID[kind]))
    admin = create_engine(database.engine.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with admin.connect() as connection:
        connection.execute(text(KILL[kind]), {"id": id})
        while connection.scalar(text(GONE[kind]), {"id": id}):
            pass
