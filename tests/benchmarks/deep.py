"""A page deep in a long list of checkpoints beside the first page, on PostgreSQL and MariaDB.

Asked of the repository, as the API does, in turn; the rows are made by the database itself.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

from sqlalchemy import text

from protectd.model.base import Base
from protectd.model.repositories.base import Page
from protectd.model.unit_of_work import Database
from tests.benchmarks.history import add_checkpoints
from tests.benchmarks.sides import SHOWN
from tests.fakes import rows
from tests.fakes.rows import PROJECT
from tests.fakes.servers import own_mariadb, own_postgresql

DEPTHS = (0.0, 0.5, 0.99)
TURNS = 40


def deep(arguments: argparse.Namespace) -> None:
    for name, own in (("PostgreSQL", own_postgresql), ("MariaDB", own_mariadb)):
        with own() as url:
            database = Database(url)
            Base.metadata.create_all(database.engine)
            with database.write() as uow:
                plan = uow.plans.add(rows.plan())
                uow.checkpoints.add(rows.checkpoint(plan, status="available"))
            add_checkpoints(url, arguments.checkpoints)
            _tell_the_planner(database)
            _measure(name, database, arguments.checkpoints)
            database.dispose()


def _tell_the_planner(database: Database) -> None:
    """What the server does by itself, a minute after so many rows have come."""
    table = "checkpoints" if database.engine.dialect.name == "postgresql" else "TABLE checkpoints"
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"ANALYZE {table}"))


def _measure(name: str, database: Database, count: int) -> None:
    markers = [_marker(database, int(count * depth)) for depth in DEPTHS]
    took: dict[float, list[float]] = {depth: [] for depth in DEPTHS}
    for _ in range(TURNS):
        for depth, marker in zip(DEPTHS, markers, strict=True):
            took[depth].append(_page_ms(database, marker))
    for depth, times in took.items():
        where = f"page after {int(count * depth)} of {count}"
        print(f"{name:10} {where:34} p50 {median(times):.2f} ms, least {min(times):.2f} ms", flush=True)


def _marker(database: Database, place: int) -> str | None:
    if not place:
        return None
    query = f"SELECT id FROM checkpoints ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET {place}"
    with database.read() as uow:
        return str(uow.session.execute(text(query)).scalar_one())


def _page_ms(database: Database, marker: str | None) -> float:
    began_s = time.perf_counter()
    with database.read() as uow:
        found = uow.checkpoints.looks(Page(SHOWN + 1, marker), PROJECT)
    assert len(found) == SHOWN + 1
    return (time.perf_counter() - began_s) * 1000
