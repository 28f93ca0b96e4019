"""protectd-manage db purge and service: what an operator does beside running daemons."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from protectd.model.unit_of_work import Database
from tests.fakes import rows
from tests.fakes.daemons import manage
from tests.functional.test_commands import config, refused, run

pytest_plugins = ["tests.fakes.databases"]

NAME = ("protectd-worker", "here")


@pytest.fixture
def options(tmp_path: Path, chosen_url: str) -> tuple[str, str]:
    return "--config-file", str(config(tmp_path, "", chosen_url))


@pytest.fixture
def database(options: tuple[str, str], chosen_url: str) -> Iterator[Database]:
    made = Database(chosen_url)
    yield made
    made.dispose()


def report(database: Database, silent_s: float = 0) -> None:
    """A heartbeat of a worker, so long ago."""
    with database.write() as uow:
        service = uow.services.register("here", "protectd-worker", "protectd-worker", version="1.1")
        uow.services.heartbeat(service.id, datetime.now(UTC) - timedelta(seconds=silent_s))


def services(options: tuple[str, str]) -> Any:
    return manage(*options, "service", "list")


def test_purge_removes_what_was_over_and_says_how_much(options: tuple[str, str], database: Database) -> None:
    now = datetime.now(UTC)
    with database.write() as uow:
        for days in (1, 9, 11, 400):
            uow.tasks.add(rows.task(state="done", ended_at=now - timedelta(days=days)))
    assert manage(*options, "db", "purge", "--older-than", "10", "--batch", "3") == {"tasks": 2}
    assert manage(*options, "db", "purge", "--older-than", "10") == {}


@pytest.mark.parametrize("arguments", [(), ("--older-than", "0"), ("--older-than", "1", "--batch", "10001")])
def test_purge_wants_days_and_a_batch_that_databases_take(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert run("manage", "--state-dir", tmp_path, "db", "purge", *arguments).returncode == 2


def test_a_worker_is_disabled_with_a_reason_and_enabled_again(
    options: tuple[str, str], database: Database
) -> None:
    report(database)
    assert services(options)[0]["state"] == "up"
    told = manage(*options, "service", "disable", *NAME, "--reason", "new disk")
    assert (told["disabled"], told["disabled_reason"]) == (True, "new disk")
    assert services(options)[0]["disabled"] is True
    told = manage(*options, "service", "enable", *NAME)
    assert (told["disabled"], told["disabled_reason"]) == (False, None)


def test_a_daemon_that_lives_is_not_removed_and_a_silent_one_is(
    options: tuple[str, str], database: Database
) -> None:
    report(database)
    assert "end it first" in refused("manage", *options, "service", "remove", *NAME)
    report(database, silent_s=3600)
    assert services(options)[0]["state"] == "down"
    manage(*options, "service", "remove", *NAME)
    assert services(options) == []
    assert "no protectd-worker on here" in refused("manage", *options, "service", "enable", *NAME)
    report(database)
    assert services(options)[0]["state"] == "up", "it came back"
