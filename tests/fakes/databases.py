"""The three databases the model is written for, an own one of each for a test run.

Use with `pytest_plugins = ["tests.fakes.databases"]` in a test module. What needs a database runs on the
kind that PROTECTD_TEST_DATABASE names; without it on SQLite, daemons that share one on PostgreSQL, and in CI
what goes through the API, and tasks, on each in turn. On SQLite alone is what is about it, and `protectd` in
one process, which has it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import pytest

from protectd.model.models import Plan
from protectd.model.unit_of_work import Database
from tests.fakes.servers import own_mariadb, own_postgresql

KINDS = ("sqlite", "postgresql", "mariadb")
VARIABLE = "PROTECTD_TEST_DATABASE"


def chosen_kind(default: str = "sqlite") -> str:
    """What the variable names."""
    kind = os.environ.get(VARIABLE, default)
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


@pytest.fixture(scope="session")
def url_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """URL of a database of a kind with every table, made when a test first asks; shared by those of a run."""
    with ExitStack() as stack:

        @cache
        def made(kind: str) -> str:
            url = stack.enter_context(empty_database(kind, tmp_path_factory.mktemp(kind)))
            make_tables(url)
            return url

        yield made


@pytest.fixture(scope="session", params=KINDS)
def any_url(request: pytest.FixtureRequest, url_of: Callable[[str], str]) -> str:
    """URL of a database with every table, each kind in turn."""
    return url_of(request.param)


@pytest.fixture
def any_database(any_url: str) -> Iterator[Database]:
    """A database with empty tables, each kind in turn."""
    with left_empty(any_url) as database:
        yield database


@contextmanager
def left_empty(url: str) -> Iterator[Database]:
    """A database whose tables are empty, and are again at the end."""
    database = Database(url, pool_size=10, max_overflow=10)
    try:
        yield database
    finally:
        with database.write() as uow:
            for table in reversed(Plan.metadata.sorted_tables):
                uow.session.execute(table.delete())
        database.dispose()


@pytest.fixture(scope="session")
def database_kind() -> str:
    """The chosen one; `tests/functional` has each in turn for some of its modules."""
    return chosen_kind()


@pytest.fixture
def chosen_database(database_kind: str, url_of: Callable[[str], str]) -> Iterator[Database]:
    """With empty tables, of the chosen kind."""
    with left_empty(url_of(database_kind)) as database:
        yield database


@pytest.fixture
def chosen_url(tmp_path: Path) -> Iterator[str]:
    """URL of a database without tables, of the chosen kind."""
    with empty_database(chosen_kind(), tmp_path) as url:
        yield url


@pytest.fixture
def shared_url(tmp_path: Path) -> Iterator[str]:
    """URL of a database without tables, for daemons that share it; on PostgreSQL where none is chosen."""
    with empty_database(chosen_kind("postgresql"), tmp_path) as url:
        yield url


@pytest.fixture
def sqlite_database(tmp_path: Path) -> Iterator[Database]:
    """An SQLite database with empty tables, its own file, for what is about SQLite."""
    database = Database(f"sqlite:///{tmp_path / 'protectd.db'}")
    Plan.metadata.create_all(database.engine)
    yield database
    database.dispose()
