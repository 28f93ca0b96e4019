"""The application with its real pipeline, and callers of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.service import Client, Service, running


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Tasks wait: nobody reads the queue. Callers of each test have projects of their own."""
    with running(tmp_path_factory.mktemp("service")) as made:
        yield made


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Tasks are done when the answer comes."""
    with running(tmp_path_factory.mktemp("direct"), mode="direct") as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    """Tasks wait. On each kind of database in turn, an own one for each test."""
    database = None if request.param == "sqlite" else request.getfixturevalue(request.param)
    with running(tmp_path, database=database) as service:
        yield service


@pytest.fixture
def member(service: Service) -> Client:
    return service.client()


@pytest.fixture
def admin(service: Service) -> Client:
    return service.client(role="admin")
