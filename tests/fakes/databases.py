"""The three databases the model is written for, an own one of each for a test run.

Use with `pytest_plugins = ["tests.fakes.databases"]` in a test module. What goes through the API runs on the
kind that PROTECTD_TEST_DATABASE names; without it on SQLite, and in CI on each in turn.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from protectd.model.models import Plan
from protectd.model.unit_of_work import Database
from tests.fakes.servers import own_mariadb, own_postgresql

KINDS = ("sqlite", "postgresql", "mariadb")
VARIABLE = "PROTECTD_TEST_DATABASE"


def chosen_kind() -> str:
    """What the variable names."""
    kind = os.environ.get(VARIABLE, "sqlite")
    if kind not in KINDS:
        raise pytest.UsageError(f"{VARIABLE} is one of {', '.join(KINDS)}")
    return kind


def kinds_in_turn() -> tuple[str, ...]:
    """What tests of the API run on."""
    everything = os.environ.get("CI") == "true" and VARIABLE not in os.environ
    return KINDS if everything else (chosen_kind(),)


@contextmanager
def empty_database(kind: str, directory: Path) -> Iterator[str]:
    """URL of a new database without tables, gone at the end."""
    if kind == "postgresql":
        with own_postgresql() as url:
            yield url
    elif kind == "mariadb":
        with own_mariadb() as url:
            yield url
    else:
        yield f"sqlite:///{directory / 'test.db'}"


def make_tables(url: str) -> None:
    """As the migrations make them, which a test of theirs compares; on a server in a fifth of the time."""
    database = Database(url)
    Plan.metadata.create_all(database.engine)
    database.dispose()


@pytest.fixture(params=KINDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database without tables, each kind in turn."""
    with empty_database(request.param, tmp_path) as url:
        yield url


@pytest.fixture(scope="session", params=KINDS)
def any_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a database with every table, each kind in turn; shared by the tests of a run."""
    with empty_database(request.param, tmp_path_factory.mktemp(request.param)) as url:
        make_tables(url)
        yield url


@pytest.fixture
def any_database(any_url: str) -> Iterator[Database]:
    """A database with empty tables, each kind in turn."""
    database = Database(any_url, pool_size=10, max_overflow=10)
    try:
        yield database
    finally:
        with database.write() as uow:
            for table in reversed(Plan.metadata.sorted_tables):
                uow.session.execute(table.delete())
        database.dispose()


@pytest.fixture
def sqlite_database(tmp_path: Path) -> Iterator[Database]:
    """An SQLite database with empty tables, its own file."""
    database = Database(f"sqlite:///{tmp_path / 'protectd.db'}")
    Plan.metadata.create_all(database.engine)
    yield database
    database.dispose()
