"""Real servers for tests, a database or a topic for each. An absent one skips the test, except in CI."""

from __future__ import annotations

import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import amqp
import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

POSTGRESQL = os.environ.get(
    "PROTECTD_TEST_POSTGRESQL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
)
MARIADB = os.environ.get("PROTECTD_TEST_MARIADB", "mysql+pymysql://root@127.0.0.1:3306/mysql")
RABBITMQ = os.environ.get("PROTECTD_TEST_RABBITMQ", "rabbit://guest:guest@127.0.0.1:5672/")


def missing(reason: str) -> None:
    """Skip this test; in CI, where nothing may be missing, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and in CI nothing may be skipped")
    pytest.skip(reason)


def need_program(name: str) -> str:
    """Path of a program."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed")
    return str(found)


def need_port(port: int, server: str) -> None:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=3).close()
    except OSError:
        missing(f"{server} does not listen on 127.0.0.1:{port}")


@contextmanager
def own_database(admin_url: str, options: str = "") -> Iterator[str]:
    """URL of a new, empty database, dropped at the end."""
    name, url = f"protectd_{uuid.uuid4().hex[:12]}", make_url(admin_url)
    force = " WITH (FORCE)" if url.get_backend_name() == "postgresql" else ""
    _execute(admin_url, f"CREATE DATABASE {name}{options}")
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        _execute(admin_url, f"DROP DATABASE {name}{force}")


def _execute(admin_url: str, statement: str) -> None:
    engine = create_engine(admin_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(statement))


@contextmanager
def own_postgresql() -> Iterator[str]:
    """It does not wait for the disk: no test takes the server's power away."""
    need_port(5432, "PostgreSQL")
    with own_database(POSTGRESQL) as url:
        database = make_url(url).database
        _execute(POSTGRESQL, f"ALTER DATABASE {database} SET synchronous_commit = off")
        yield url


@contextmanager
def own_mariadb() -> Iterator[str]:
    need_port(3306, "MariaDB")
    with own_database(MARIADB, " CHARACTER SET utf8mb4") as url:
        yield url


@dataclass(frozen=True)
class Bus:
    """A part of the broker that no other test uses."""

    url: str
    topic: str
    exchange: str


@contextmanager
def own_bus() -> Iterator[Bus]:
    """Names of its own on the broker; their queues and exchanges are removed at the end."""
    need_port(5672, "RabbitMQ")
    name = f"test-{uuid.uuid4().hex[:12]}"
    bus = Bus(RABBITMQ, f"{name}-worker", name)
    try:
        yield bus
    finally:
        _remove(bus)


def _remove(bus: Bus, hosts: tuple[str, ...] = ("one", "two", socket.gethostname())) -> None:
    connection = amqp.Connection("127.0.0.1:5672", userid="guest", password="guest")
    connection.connect()
    try:
        channel = connection.channel()
        for queue in (bus.topic, *(f"{bus.topic}.{host}" for host in hosts)):
            channel.queue_delete(queue)
        for exchange in (bus.exchange, f"{bus.topic}_fanout"):
            channel.exchange_delete(exchange)
    finally:
        connection.close()
