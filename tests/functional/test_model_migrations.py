"""Migrations on each database, up and down, and what they leave beside what the models expect."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy import inspect, text

from protectd.common.ids import new_id
from protectd.model import migrate
from protectd.model.engine import make_engine
from protectd.model.models import Plan, Secret
from protectd.model.unit_of_work import Database
from tests.fakes import rows

pytest_plugins = ["tests.fakes.databases"]

HEAD = "0013_consumer_projects"


def tables(url: str) -> set[str]:
    engine = make_engine(url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_up_down_and_up_again_ends_where_the_models_are(empty_url: str) -> None:
    assert migrate.current(empty_url) is None
    migrate.upgrade(empty_url)
    assert migrate.current(empty_url) == HEAD
    assert migrate.check(empty_url) == []
    migrate.downgrade(empty_url, "base")
    assert migrate.current(empty_url) is None
    assert tables(empty_url) == {"alembic_version"}
    migrate.upgrade(empty_url)
    assert migrate.check(empty_url) == []


def test_an_upgrade_may_be_repeated_and_keeps_what_is_there(empty_url: str) -> None:
    migrate.upgrade(empty_url)
    database = Database(empty_url)
    with database.write() as uow:
        plan = uow.plans.add(rows.plan(name="keep me"))
    migrate.upgrade(empty_url)
    with database.read() as uow:
        assert uow.plans.get(plan.id).name == "keep me"
    database.dispose()


def test_the_indexes_the_models_name_are_there(empty_url: str) -> None:
    """The comparison of types and columns does not look at all of them on every database."""
    migrate.upgrade(empty_url)
    engine = make_engine(empty_url)
    for table in Plan.metadata.sorted_tables:
        found = {index["name"] for index in inspect(engine).get_indexes(table.name)}
        assert {index.name for index in table.indexes} <= found
    engine.dispose()


def test_what_services_did_not_say_is_kept_as_nothing(empty_url: str) -> None:
    """Also back: an older version reads that as nothing, too."""
    migrate.upgrade(empty_url, "0011_brief_tasks")
    engine = make_engine(empty_url)
    said = {"host": "h", "binary": "b", "report_count": 0, "disabled": False, "deleted": False}
    moments = dict.fromkeys(("created_at", "updated_at"), sa.func.now())
    services = sa.table("services", *map(sa.column, (*said, *moments)))
    with engine.begin() as connection:
        connection.execute(services.insert().values(**said, **moments))
    migrate.upgrade(empty_url)
    database = Database(empty_url)
    with database.read() as uow:
        (found,) = uow.services.all()
        told = (found.topic, found.disabled_reason, found.rpc_available_version, found.modified_at)
        assert told == (None, None, None, found.created_at)
    database.dispose()
    migrate.downgrade(empty_url, "0011_brief_tasks")
    with engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM services")).mappings().one()
        assert (row["topic"], row["disabled_reason"]) == (None, None)
    engine.dispose()


def test_a_difference_is_found(empty_url: str) -> None:
    migrate.upgrade(empty_url)
    engine = make_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE plans ADD COLUMN stray INTEGER"))
    engine.dispose()
    assert "stray" in repr(migrate.check(empty_url))


@pytest.mark.parametrize("empty_url", ["mariadb"], indirect=True)
def test_mariadb_tables_compare_bytes(empty_url: str) -> None:
    migrate.upgrade(empty_url)
    engine = make_engine(empty_url)
    with engine.connect() as connection:
        found = connection.execute(
            text(
                "SELECT DISTINCT table_collation FROM information_schema.tables "
                "WHERE table_schema = DATABASE() AND table_name <> 'alembic_version'"
            )
        ).scalars()
        assert list(found) == ["utf8mb4_bin"]
    engine.dispose()


def test_a_choice_of_secret_stores_is_not_taken_back(empty_url: str) -> None:
    migrate.upgrade(empty_url)
    database = Database(empty_url)
    with database.write() as uow:
        uow.secret_stores.add(["module"])
        uow.secret_stores.prefer("p", "module")
    with pytest.raises(RuntimeError, match="prefer secret stores"):
        migrate.downgrade(empty_url, "0009_audit")
    kept_the_steps_before = database.engine.dialect.name == "mysql"
    assert migrate.current(empty_url) == ("0010_secret_stores" if kept_the_steps_before else HEAD)
    with database.write() as uow:
        assert uow.secret_stores.forget_preferred("p")
    database.dispose()
    migrate.downgrade(empty_url, "0009_audit")
    migrate.upgrade(empty_url)
    assert migrate.check(empty_url) == []


def test_secrets_of_tenants_are_not_taken_back(empty_url: str) -> None:
    migrate.upgrade(empty_url)
    database = Database(empty_url)
    with database.write() as uow:
        uow.secrets.add(
            Secret(id=new_id(), project_id="p", creator_id="u", store="crypto", key_id="", cipher_text=b"")
        )
    with pytest.raises(RuntimeError, match="tenants have secrets"):
        migrate.downgrade(empty_url, "base")
    database.dispose()
