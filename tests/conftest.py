"""Fixtures that every test may use."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import object_servers, sampling, servers
from tests.fakes.keystone_server import Keystone, own_keystone

MOST_PROCESSES = 4
"""Each has servers of objects of its own."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Processes: one more than there are cores, because much of what tests do is waiting."""
    return min(MOST_PROCESSES, (os.cpu_count() or 1) + 1)


def pytest_report_header() -> str:
    """Imported before any other process of the run begins, `sampling` has chosen the seed of all."""
    return f"seed: {sampling.SEED}"


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Reports go from one process to another as UTF-8, and some tests print what is none."""
    return as_utf8((yield))


def as_utf8(found: Any) -> Any:
    if isinstance(found, str):
        return found.encode(errors="backslashreplace").decode()
    if isinstance(found, dict):
        return {as_utf8(key): as_utf8(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return type(found)(map(as_utf8, found))
    return found


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


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[None]:
    """Trees too deep for the recursion that pytest removes old directories with, of whatever modes; also
    those that a failed test has left."""
    yield
    for words in (("chmod", "-R", "u+rwx"), ("rm", "-rf")):
        subprocess.run([*words, str(tmp_path)], check=True)


@pytest.fixture(scope="session")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    """One for a session: who asks makes users and projects of their own."""
    with own_keystone(tmp_path_factory.mktemp("keystone")) as made:
        yield made


# --- servers of objects: one each for a session, started when a test first asks ---


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Options of a bank on S3."""
    with object_servers.own_seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as options:
        yield options


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with object_servers.own_swift(tmp_path_factory.mktemp("swift")) as options:
        yield options


@pytest.fixture(scope="session")
def rest_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with object_servers.own_rclone(tmp_path_factory.mktemp("rest"), "restic") as options:
        yield options


@pytest.fixture(scope="session")
def webdav_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with object_servers.own_rclone(tmp_path_factory.mktemp("webdav"), "webdav") as options:
        yield options


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with object_servers.own_azurite(tmp_path_factory.mktemp("azurite")) as options:
        yield options


@pytest.fixture(scope="session")
def fake_gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with object_servers.own_fake_gcs(tmp_path_factory.mktemp("gcs")) as options:
        yield options
