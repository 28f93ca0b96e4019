"""The application with its real pipeline, and callers of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.databases import KINDS, chosen_kind, empty_database, kinds_in_turn
from tests.fakes.published_client import serving
from tests.fakes.service import Client, Service, running

IN_TURN = frozenset(
    f"test_{noun}"
    for noun in (
        "checkpoints",
        "copies",
        "holds",
        "idempotency",
        "operation_logs",
        "plans",
        "plans_many",
        "protectables",
        "quotas",
        "reset_state",
        "restores",
        "retention",
        "scheduled_operations",
        "services",
        "tasks_operations",
        "triggers",
        "verifications",
    )
)
"""Modules whose tests run on each database in CI; the others ask it for nothing that these do not."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_kind" in metafunc.fixturenames:
        in_turn = metafunc.module.__name__.rpartition(".")[2] in IN_TURN
        kinds = kinds_in_turn() if in_turn else (chosen_kind(),)
        metafunc.parametrize("database_kind", kinds, scope="module")


@pytest.fixture(scope="module")
def database_url(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an empty database for the tests of a module, each chosen kind in turn."""
    with empty_database(database_kind, tmp_path_factory.mktemp("database")) as url:
        yield url


@pytest.fixture(scope="module")
def master_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all that share a database."""
    return tmp_path_factory.mktemp("keys") / "master.key"


@pytest.fixture(scope="module")
def service(
    database_url: str,
    master_key: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Service]:
    """Tasks wait: nobody reads the queue. Callers of each test have projects of their own. A module may have
    `CONFIGURED`, more of the configuration file."""
    place, more = tmp_path_factory.mktemp("service"), getattr(request.module, "CONFIGURED", "")
    with running(place, database=database_url, master_key=master_key, more=more) as made:
        yield made


@pytest.fixture(scope="module")
def direct(
    database_url: str, master_key: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Tasks are done when the answer comes."""
    place = tmp_path_factory.mktemp("direct")
    with running(place, mode="direct", database=database_url, master_key=master_key) as made:
        yield made


@pytest.fixture(scope="module", params=KINDS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Tasks wait. On each kind of database in turn, one for the tests of a module."""
    directory = tmp_path_factory.mktemp("shared")
    with empty_database(request.param, directory) as url, running(directory, database=url) as service:
        yield service


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Iterator[Service]:
    """Tasks wait. SQLite says how it would find rows, however few there are."""
    with empty_database("sqlite", tmp_path) as url, running(tmp_path, database=url) as service:
        yield service


@pytest.fixture
def member(service: Service) -> Client:
    return service.client()


@pytest.fixture
def admin(service: Service) -> Client:
    return service.client(role="admin")


@pytest.fixture(scope="module")
def endpoint(direct: Service) -> Iterator[str]:
    """Where published clients reach the service."""
    with serving(direct) as url:
        yield url
