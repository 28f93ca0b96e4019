"""SQLite: the turn to write comes back whatever becomes of a unit of work, and the log is folded."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import OperationalError

from protectd.model.errors import DatabaseUnavailable
from protectd.model.sqlite import WRITES, Writers
from protectd.model.unit_of_work import Database, UnitOfWork
from tests.fakes import rows

pytest_plugins = ["tests.fakes.databases"]


def _commit(uow: UnitOfWork) -> None:
    uow.plans.add(rows.plan())
    uow.commit()


def _commit_twice(uow: UnitOfWork) -> None:
    _commit(uow)
    _commit(uow)


def _roll_back(uow: UnitOfWork) -> None:
    uow.plans.add(rows.plan())
    uow.rollback()


def _leave_open(uow: UnitOfWork) -> None:
    uow.plans.add(rows.plan())


def _break_the_statement(uow: UnitOfWork) -> None:
    with pytest.raises(OperationalError):
        uow.session.execute(text("SELECT no_such_column FROM plans"))


def _lose_the_connection(uow: UnitOfWork) -> None:
    uow.plans.add(rows.plan())
    uow.session.connection().invalidate()


def _fail_in_the_middle(uow: UnitOfWork) -> None:
    with pytest.raises(ZeroDivisionError), uow.session.begin_nested():
        _ = 1 / 0


@pytest.mark.parametrize(
    "end",
    [
        _commit,
        _commit_twice,
        _roll_back,
        _leave_open,
        _break_the_statement,
        _lose_the_connection,
        _fail_in_the_middle,
    ],
)
def test_the_turn_comes_back_however_a_unit_of_work_ends(
    sqlite_database: Database, end: Callable[[UnitOfWork], None]
) -> None:
    with closing(sqlite_database.begin(write=True)) as uow:
        end(uow)
    with sqlite_database.write() as after:
        after.plans.add(rows.plan())


def test_the_turn_comes_back_when_another_process_holds_the_file(sqlite_database: Database) -> None:
    event.listen(sqlite_database.engine, "checkout", _impatient)
    with closing(sqlite3.connect(str(sqlite_database.engine.url.database))) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            with closing(sqlite_database.begin(write=True)) as uow, pytest.raises(DatabaseUnavailable):
                uow.plans.find("x")
        other.rollback()
    with sqlite_database.write() as uow:
        assert uow.plans.find("x") is None


def _impatient(connection: Any, *_: object) -> None:
    connection.execute("PRAGMA busy_timeout = 1")


def test_a_turn_that_does_not_come_is_unavailability(sqlite_database: Database) -> None:
    engine = create_engine(sqlite_database.engine.url)
    Writers(wait_s=0.01).listen(engine)
    writing = engine.execution_options(**{WRITES: True})
    with writing.connect() as holder:
        holder.execute(text("SELECT 1"))
        with writing.connect() as waiter, pytest.raises(DatabaseUnavailable) as caught:
            waiter.execute(text("SELECT 1"))
    assert (caught.value.status, caught.value.code) == (503, "database.unavailable")
    engine.dispose()


def test_what_is_folded_is_in_the_file_alone(sqlite_database: Database, tmp_path: Path) -> None:
    with sqlite_database.write() as uow:
        plan = uow.plans.add(rows.plan())
    with sqlite_database.read() as reader:
        assert reader.plans.find(plan.id) is not None
        sqlite_database.fold_log()
    copy = shutil.copy(str(sqlite_database.engine.url.database), tmp_path / "copy.db")
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT id FROM plans").fetchall() == [(plan.id,)]


def test_folding_goes_on_beside_a_writer(sqlite_database: Database) -> None:
    with sqlite_database.write() as writer:
        plan = writer.plans.add(rows.plan())
        sqlite_database.fold_log()
    with sqlite_database.read() as reader:
        assert reader.plans.find(plan.id) is not None


def test_a_file_that_cannot_be_opened_is_unavailability(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable):
        Database(f"sqlite:///{tmp_path}/missing/x.db").fold_log()
