"""Column types, and databases that cannot be opened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from protectd.common.errors import ConfigurationError
from protectd.model.base import Base, FreeText, Json, UTCDateTime
from protectd.model.errors import DatabaseUnavailable
from protectd.model.models import Plan
from protectd.model.unit_of_work import Database
from tests.fakes import rows

pytest_plugins = ["tests.fakes.databases"]

DIALECTS = [sqlite.dialect(), postgresql.dialect(), mysql.dialect()]
MYSQL_INDEX_BYTES = 3072


def test_a_moment_is_stored_as_utc_and_comes_back_aware() -> None:
    kind, moment = UTCDateTime(), datetime(2024, 5, 1, 12, 0, 0, 7, timezone(timedelta(hours=5)))
    stored = kind.process_bind_param(moment, DIALECTS[0])
    assert stored == datetime(2024, 5, 1, 7, 0, 0, 7)
    assert kind.process_result_value(stored, DIALECTS[0]) == moment


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        UTCDateTime().process_bind_param(datetime(2024, 5, 1), DIALECTS[0])


@pytest.mark.parametrize("value", [{}, [], "", 0, False, {"a": ["\ud800", "\x00", "😀"]}, 2**70])
def test_json_comes_back_as_it_was(value: object) -> None:
    stored = Json().process_bind_param(value, DIALECTS[0])
    assert stored is not None and stored.isascii() and "\x00" not in stored
    assert Json().process_result_value(stored, DIALECTS[0]) == value


def test_json_knows_no_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        Json().process_bind_param(float("nan"), DIALECTS[0])


@pytest.mark.parametrize(
    ("text", "kept"), [("é😀", "é😀"), ("\udcff", "\\udcff"), ("a\0b", "a\\x00b"), (None, None)]
)
def test_text_for_people_holds_what_a_database_takes(text: str | None, kept: str | None) -> None:
    assert FreeText().process_bind_param(text, DIALECTS[0]) == kept


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_every_table_and_index_can_be_written_for_each_database(dialect: object) -> None:
    for table in Base.metadata.sorted_tables:
        assert str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            assert str(CreateIndex(index).compile(dialect=dialect))


def test_mysql_keeps_microseconds_long_texts_and_the_case_of_ids() -> None:
    made = str(CreateTable(Plan.__table__).compile(dialect=mysql.dialect()))
    assert "created_at DATETIME(6)" in made
    assert "parameters MEDIUMTEXT" in made
    assert "CHARSET=utf8mb4 COLLATE utf8mb4_bin" in made


def test_every_key_is_short_enough_for_mysql_at_four_bytes_a_character() -> None:
    for table in Base.metadata.sorted_tables:
        keys = [list(index.columns) for index in table.indexes]
        keys += [list(constraint.columns) for constraint in table.constraints]
        for columns in keys:
            assert sum(4 * getattr(column.type, "length", 2) for column in columns) <= MYSQL_INDEX_BYTES


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite://", "sqlite:///:memory:", "oracle9://h/d"])
def test_a_url_of_no_usable_database_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Database(url)


def test_a_password_shows_in_no_error_and_no_repr() -> None:
    url = "postgresql+psycopg://someone:Swordfish@127.0.0.1:1/nowhere"
    database = Database(url)
    with database.read() as uow, pytest.raises(DatabaseUnavailable) as caught:
        uow.plans.find("x")
    assert "Swordfish" not in f"{database!r} {caught.value} {caught.value.facts}"
    assert caught.value.status == 503
    with pytest.raises(ConfigurationError) as refused:
        Database("nonsense://someone:Swordfish@host:port/nowhere")
    assert "Swordfish" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "mysql+pymysql"])
def test_a_server_that_is_not_there_is_unavailable(scheme: str) -> None:
    with Database(f"{scheme}://nobody@127.0.0.1:1/none").write() as uow, pytest.raises(DatabaseUnavailable):
        uow.plans.find("x")


def test_a_pool_without_a_free_connection_is_unavailable(tmp_path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'x.db'}", pool_size=1, max_overflow=0)
    database.engine.pool._timeout = 0.01
    with database.read() as one, database.read() as other:
        one.session.execute(select(func.count()))
        with pytest.raises(DatabaseUnavailable):
            other.session.execute(text("SELECT 1"))
    database.dispose()


def test_a_mistake_in_the_sql_is_no_unavailability(chosen_database: Database) -> None:
    with chosen_database.read() as uow, pytest.raises(Exception) as caught:
        uow.session.execute(text("SELECT no_such_column FROM plans"))
    assert not isinstance(caught.value, DatabaseUnavailable)


def test_sqlite_is_set_up_for_safety(sqlite_database: Database) -> None:
    with sqlite_database.read() as uow:
        found = {
            name: uow.session.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "wal_autocheckpoint")
        }
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 30_000,
        "wal_autocheckpoint": 10_000,
    }


def test_a_reading_unit_of_work_refuses_to_write(chosen_database: Database) -> None:
    with chosen_database.read() as uow, pytest.raises(RuntimeError):
        uow.plans.add(rows.plan())


def test_a_writing_unit_of_work_that_raises_leaves_nothing(chosen_database: Database) -> None:
    made = rows.plan()
    with pytest.raises(ZeroDivisionError), chosen_database.write() as uow:
        uow.plans.add(made)
        _ = 1 / 0
    with chosen_database.read() as uow:
        assert uow.plans.find(made.id) is None


def test_entities_stay_readable_after_their_unit_of_work(chosen_database: Database) -> None:
    with chosen_database.write() as uow:
        made = uow.plans.add(rows.plan(resources=[rows.resource()]))
    assert made.resources[0].resource_name == "home"
    assert made.created_at.tzinfo is UTC


def test_a_caller_may_end_a_unit_of_work_itself(chosen_database: Database) -> None:
    uow = chosen_database.begin(write=True)
    kept = uow.plans.add(rows.plan()).id
    uow.commit()
    dropped = uow.plans.add(rows.plan()).id
    uow.rollback()
    uow.close()
    with chosen_database.read() as again:
        assert again.plans.find(kept) and not again.plans.find(dropped)
