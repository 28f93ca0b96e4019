"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes import servers


@pytest.fixture
def postgresql() -> Iterator[str]:
    """URL of an empty PostgreSQL database."""
    with servers.own_postgresql() as url:
        yield url


@pytest.fixture
def mariadb() -> Iterator[str]:
    """URL of an empty MariaDB database."""
    with servers.own_mariadb() as url:
        yield url


@pytest.fixture
def bus() -> Iterator[servers.Bus]:
    """Names of its own on the message broker."""
    with servers.own_bus() as bus:
        yield bus


@pytest.fixture
def restic() -> str:
    """Path of the restic program."""
    return servers.need_program("restic")
