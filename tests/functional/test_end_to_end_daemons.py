"""API, two workers and an engine as processes of their own, over RabbitMQ, on a database that they share."""

from __future__ import annotations

import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import amqp
import pytest

from protectd.client.http import Client
from tests.fakes.daemons import (
    Daemon,
    SlowBank,
    User,
    close,
    free_port,
    healthy,
    manage,
    restic_environment,
    wait_for,
)
from tests.fakes.servers import Bus
from tests.fakes.tree import build_hard_tree, differences, tree
from tests.functional.test_end_to_end_standalone import bank_bytes, fill

pytest_plugins = ["tests.fakes.databases"]

CONFIG = """
[DEFAULT]
state_dir = {state}
transport_url = {bus.url}
report_interval_s = 1
[database]
connection = {database}
[api]
bind_port = {port}
workers = 2
[queue]
topic = {bus.topic}
exchange = {bus.exchange}
[tasks]
lease_s = 5
retry_base_s = 1
[engine]
poll_interval_s = 1
resend_grace_s = 5
"""


@dataclass
class Installation:
    config: Path
    state: Path
    endpoint: str
    api: Daemon
    workers: list[Daemon]
    engine: Daemon

    @property
    def options(self) -> list[str]:
        return ["--config-file", str(self.config)]

    def daemons(self) -> list[Daemon]:
        return [self.api, *self.workers, self.engine]

    def user(self) -> User:
        wait_for("the API", lambda: healthy(self.endpoint), 60, self.api)
        project = str(uuid.uuid4())
        made = manage(*self.options, "token", "create", "--project", project, "--role", "admin")
        return User(Client(self.endpoint, made["token"], project), project)


@pytest.fixture
def installation(tmp_path: Path, shared_url: str, bus: Bus) -> Iterator[Installation]:
    made = make_installation(CONFIG, tmp_path, shared_url, bus)
    try:
        yield made
    finally:
        close(*made.daemons())


def make_installation(text: str, tmp_path: Path, url: str, bus: Bus) -> Installation:
    """Nothing of it runs yet. :param text: the configuration, whose places are still to be filled in."""
    state, config, port = tmp_path / "state", tmp_path / "protectd.conf", free_port()
    state.mkdir(mode=0o700)
    config.touch(mode=0o600)
    config.write_text(text.format(state=state, bus=bus, database=url, port=port))
    options = ["--config-file", str(config)]
    for command in (["secrets", "create-master-key"], ["db", "upgrade"]):
        run_manage(*options, *command)
    return Installation(
        config,
        state,
        f"http://127.0.0.1:{port}",
        Daemon("api", options, tmp_path / "api.log"),
        [Daemon("worker", options, tmp_path / f"worker{number}.log") for number in (1, 2)],
        Daemon("engine", options, tmp_path / "engine.log"),
    )


def run_manage(*arguments: str) -> str:
    command = [*Daemon("manage", arguments, Path("/dev/null")).command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def start(*daemons: Daemon) -> None:
    for daemon in daemons:
        daemon.start()


def test_a_directory_is_protected_lost_and_brought_back(
    installation: Installation, tmp_path: Path, restic: str
) -> None:
    start(*installation.daemons())
    user, source = installation.user(), tmp_path / "source"
    build_hard_tree(source)
    before = tree(source)
    checkpoint = user.protect(user.plan(source), *installation.daemons())
    assert checkpoint["status"] == "available", checkpoint
    shutil.rmtree(source)
    assert user.restore(checkpoint["id"], None, *installation.daemons())["status"] == "success"
    assert differences(before, tree(source)) == []
    assert user.verify(checkpoint["id"], *installation.daemons())["status"] == "success"
    environment = restic_environment(installation.options, user.project_id)
    for arguments in (["check", "--read-data"], ["restore", "latest", "--target", str(tmp_path / "out")]):
        subprocess.run([restic, "--no-cache", *arguments], env=environment, check=True, capture_output=True)
    there = tmp_path / "out" / source.relative_to("/")
    lost = differences(before, tree(there))
    assert [line for line in lost if "odd target': content" not in line] == []


def test_two_workers_share_the_load_and_each_task_runs_once(
    installation: Installation, tmp_path: Path
) -> None:
    start(*installation.daemons())
    user, ids = installation.user(), []
    for number in range(8):
        fill(tmp_path / f"source{number}", files=5, size=100_000, seed=number)
        plan = user.plan(tmp_path / f"source{number}", name=f"plan {number}")
        ids.append(user.begin_checkpoint(plan))
    final = [user.final_checkpoint(id, *installation.daemons()) for id in ids]
    assert {checkpoint["status"] for checkpoint in final} == {"available"}

    def all_have_worked() -> bool:
        """One that came late may have found nothing left to do: there is always another."""
        done = all(any(id in worker.text() for id in ids) for worker in installation.workers)
        if not done:
            ids.append(user.protect(plan, *installation.daemons())["id"])
        return done

    wait_for("work for each", all_have_worked, 120, *installation.daemons())


def test_a_killed_worker_s_task_is_finished_by_the_other(installation: Installation, tmp_path: Path) -> None:
    (first, second), slow = installation.workers, SlowBank(tmp_path, upload=256)
    text = installation.config.read_text()
    installation.config.write_text(text.replace("[DEFAULT]\n", f"[DEFAULT]\n{slow.option}"))
    start(installation.api, installation.engine, first)
    user, source = installation.user(), tmp_path / "source"
    fill(source, files=400, size=40_000)
    id = user.begin_checkpoint(user.plan(source))
    wait_for("a running backup", lambda: user.checkpoint(id)["status"] == "protecting", 60, first)
    first.end(signal.SIGKILL)
    slow.let_go()
    start(second)
    checkpoint = user.final_checkpoint(id, installation.api, second, installation.engine)
    assert checkpoint["status"] == "available", checkpoint
    assert user.restore(id, tmp_path / "target", installation.api, second)["status"] == "success"
    assert differences(tree(source), tree(tmp_path / "target")) == []


def test_what_was_asked_while_no_worker_ran_is_done_when_one_comes(
    installation: Installation, tmp_path: Path
) -> None:
    start(installation.api, installation.engine)
    user, source = installation.user(), tmp_path / "source"
    fill(source, files=5, size=1000)
    id = user.begin_checkpoint(user.plan(source))
    assert user.checkpoint(id)["status"] == "PENDING"
    start(*installation.workers)
    assert user.final_checkpoint(id, *installation.daemons())["status"] == "available"


def test_a_deleted_checkpoint_gives_its_bytes_back(installation: Installation, tmp_path: Path) -> None:
    start(*installation.daemons())
    user, source = installation.user(), tmp_path / "source"
    fill(source, files=20, size=500_000)
    checkpoint = user.protect(user.plan(source), *installation.daemons())
    assert checkpoint["status"] == "available"
    assert bank_bytes(installation.state) > 9_000_000
    user.delete(checkpoint["id"])
    assert user.final_checkpoint_deleted(checkpoint["id"])
    wait_for("freed bytes", lambda: bank_bytes(installation.state) < 1_000_000, 180)


def test_every_daemon_beats_and_ends_within_ten_seconds(installation: Installation) -> None:
    start(*installation.daemons())
    installation.user()

    def binaries() -> bool:
        rows = manage(*installation.options, "service", "list")
        return {row["binary"] for row in rows} == {"protectd-api", "protectd-worker", "protectd-engine"}

    wait_for("heartbeats", binaries, 30, *installation.daemons())
    for daemon in installation.daemons():
        code, seconds = daemon.end()
        assert (code, seconds < 10) == (0, True), daemon.text()
        assert "Traceback" not in daemon.text()


def test_a_daemon_is_one_row_that_counts_its_reports_over_restarts(
    installation: Installation, bus: Bus
) -> None:
    """Its topic is the queue that it reads from."""
    api, worker = installation.api, installation.workers[0]
    start(api, worker)
    user = installation.user()

    def row(least: int = 1) -> dict[str, Any] | None:
        found = user.client.get("/os-services?binary=protectd-worker")["services"]
        return found[0] if len(found) == 1 and found[0]["report_count"] >= least else None

    first = wait_for("a report", row, 30, api, worker)
    assert (first["topic"], first["state"]) == (bus.topic, "up")
    assert consumers(bus.topic) == 1
    later = wait_for("another report", lambda: row(first["report_count"] + 1), 30, api, worker)
    worker.end()
    assert consumers(bus.topic) == 0
    worker.start()
    again = wait_for("a report anew", lambda: row(later["report_count"] + 2), 30, api, worker)
    for fact in ("id", "created_at", "modified_at"):
        assert first[fact] == later[fact] == again[fact], fact


def consumers(queue: str) -> int:
    """How many read from a queue that is there."""
    connection = amqp.Connection("127.0.0.1:5672", userid="guest", password="guest")
    connection.connect()
    with connection, connection.channel() as channel:
        return int(channel.queue_declare(queue, passive=True).consumer_count)


def test_no_secret_is_in_a_log(installation: Installation, tmp_path: Path) -> None:
    start(*installation.daemons())
    user, source = installation.user(), tmp_path / "source"
    fill(source, files=2, size=1000)
    user.protect(user.plan(source), *installation.daemons())
    password = restic_environment(installation.options, user.project_id)["RESTIC_PASSWORD"]
    made = manage(*installation.options, "token", "create", "--project", user.project_id)
    Client(installation.endpoint, made["token"], user.project_id).get("/plans")
    for daemon in installation.daemons():
        for secret in (password, made["token"], "guest:guest"):
            assert secret not in daemon.text()
