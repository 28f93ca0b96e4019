"""protectd-status upgrade check: what would keep the daemons of this version from working is told before."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from sqlalchemy import text

from protectd.cmd.status import parser
from protectd.model import migrate
from protectd.model.models import Secret
from protectd.model.unit_of_work import Database
from protectd.queue.contract import VERSION
from tests.fakes.databases import chosen_kind, empty_database, left_empty
from tests.functional.test_commands import config, run

GOOD = {
    "Configuration": "Success",
    "Database schema": "Success",
    "Providers": "Success",
    "Banks": "Success",
    "Master key": "Success",
    "Workers": "Success",
    "Policies": "Success",
}


Told = tuple[int, dict[str, str], str]
"""Exit code, results by check, and the whole table."""


class Installation:
    """One that is ready, until a test changes something."""

    def __init__(self, place: Path, ready: Path, database: Database) -> None:
        self.place, self.database = place, database
        self.file = place / "protectd.conf"
        self.file.write_text((ready / "protectd.conf").read_text().replace(str(ready), str(place)))
        self.file.chmod(0o600)
        self.state = shutil.copytree(ready / "state", place / "state")
        self.worker(VERSION)

    def worker(self, version: str | None) -> None:
        with self.database.write() as uow:
            service = uow.services.register("here", "protectd-worker", "protectd-worker", version=version)
            uow.services.heartbeat(service.id, datetime.now(UTC))

    def execute(self, statement: str) -> None:
        with self.database.write() as uow:
            uow.session.execute(text(statement))

    def add(self, lines: str) -> None:
        self.file.write_text(f"{self.file.read_text()}\n{lines}\n")

    def check(self) -> Told:
        """By the program."""
        done = run("status", "--config-file", self.file, "upgrade", "check")
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, results(done.stdout), done.stdout

    def check_here(self) -> Told:
        """In this process: a new one takes many times as long to start as to look."""
        args, said = parser().parse_args(["--config-file", str(self.file), "upgrade", "check"]), StringIO()
        with redirect_stdout(said):
            code = args.action(args)
        return code, results(said.getvalue()), said.getvalue()


def results(told: str) -> dict[str, str]:
    cells = [line.strip("| ") for line in told.splitlines() if line.startswith("|")]
    assert cells[0] == "Upgrade Check Results"
    names = [cell.removeprefix("Check: ") for cell in cells if cell.startswith("Check: ")]
    codes = [cell.removeprefix("Result: ") for cell in cells if cell.startswith("Result: ")]
    return dict(zip(names, codes, strict=True))


@pytest.fixture(scope="module")
def migrated_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a database for all, which each finds as the migrations left it."""
    with empty_database(chosen_kind(), tmp_path_factory.mktemp("database")) as url:
        yield url


@pytest.fixture(scope="module")
def ready(migrated_url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one lies that no test changes."""
    place = tmp_path_factory.mktemp("ready")
    config(place, "", migrated_url)
    (place / "state" / "bank").mkdir()
    return place


@pytest.fixture
def installation(tmp_path: Path, ready: Path, migrated_url: str) -> Iterator[Installation]:
    revision = migrate.current(migrated_url)
    with left_empty(migrated_url) as database:
        made = Installation(tmp_path, ready, database)
        yield made
        made.execute(f"UPDATE alembic_version SET version_num = '{revision}'")


def test_one_that_is_ready(installation: Installation) -> None:
    code, results, told = installation.check()
    assert (code, results) == (0, GOOD), told
    lines = told.splitlines()
    assert len({len(line) for line in lines}) == 1 and lines[0] == lines[2] == lines[-1]


Change = Callable[[Installation], object]


@pytest.mark.parametrize(
    ("change", "check", "result", "told"),
    [
        (lambda i: i.file.chmod(0o644), "Configuration", "Warning", "protectd.conf"),
        (
            lambda i: i.execute("UPDATE alembic_version SET version_num = '0001_initial'"),
            "Database schema",
            "Failure",
            "db upgrade",
        ),
        (
            lambda i: i.execute("UPDATE alembic_version SET version_num = '9999_later'"),
            "Database schema",
            "Failure",
            "9999_later",
        ),
        (lambda i: (i.state / "bank").rmdir(), "Banks", "Warning", "default"),
        (lambda i: (i.state / "master.key").chmod(0o644), "Master key", "Failure", "master.key"),
        (lambda i: (i.state / "master.key").unlink(), "Master key", "Warning", "no worker starts"),
        (lambda i: i.worker("1.0"), "Workers", "Warning", "here (1.0)"),
        (lambda i: i.worker(None), "Workers", "Warning", "here (unknown)"),
        (lambda i: i.worker("2.0"), "Workers", "Failure", "here (2.0)"),
        (lambda i: i.execute("DELETE FROM services"), "Workers", "Warning", "no worker reports"),
        (lambda i: i.add("[queue]\nrpc_version = 1.0"), "Workers", "Warning", "rpc_version"),
        (lambda i: i.add("[oslo_policy]\npolicy_file = /nowhere.yaml"), "Policies", "Warning", "nowhere"),
        (lambda i: i.add("[DEFAULT]\nprovider_config_dir = /nowhere"), "Providers", "Failure", "nowhere"),
    ],
)
def test_what_is_wrong_is_named_and_the_worst_is_the_exit_code(
    installation: Installation, change: Change, check: str, result: str, told: str
) -> None:
    change(installation)
    code, results, said = installation.check_here()
    assert results[check] == result, said
    assert code == {"Warning": 1, "Failure": 2}["Failure" if "Failure" in results.values() else "Warning"]
    assert told in " ".join(said.replace("|", "").split())


def test_secrets_that_another_key_has_sealed_are_told(installation: Installation) -> None:
    with installation.database.write() as uow:
        uow.secrets.add(Secret(id="s", project_id="p", store="crypto", key_id="another", cipher_text=b"\x01"))
    code, results, _ = installation.check()
    assert (code, results["Master key"]) == (2, "Failure")


def test_a_broken_policy_file_is_told(installation: Installation) -> None:
    policy = installation.place / "policy.yaml"
    policy.write_text("rule: [unfinished")
    installation.add(f"[oslo_policy]\npolicy_file = {policy}")
    code, results, told = installation.check()
    assert (code, results["Policies"]) == (2, "Failure") and "policy.yaml" in told


def test_a_configuration_that_cannot_be_read_is_the_only_thing_told(installation: Installation) -> None:
    installation.add("[api]\nworkers = many")
    assert installation.check()[:2] == (2, {"Configuration": "Failure"})


def test_it_makes_nothing(tmp_path: Path) -> None:
    assert run("status", "--state-dir", tmp_path, "upgrade", "check").returncode == 2
    assert list(tmp_path.iterdir()) == []
