"""One request is followed from the API to the end of its task by its id, and by the task's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protectd.conf.places import shipped
from tests.fakes.daemons import Daemon, close, manage, restic_environment
from tests.fakes.servers import Bus
from tests.functional.test_end_to_end_daemons import CONFIG, Installation, make_installation, start
from tests.functional.test_end_to_end_standalone import fill

pytest_plugins = ["tests.fakes.databases"]


def lines(daemon: Daemon) -> list[dict[str, Any]]:
    """Every line is an object."""
    return [json.loads(line) for line in daemon.text().splitlines()]


@pytest.fixture
def installation(tmp_path: Path, shared_url: str, bus: Bus) -> Iterator[Installation]:
    providers = tmp_path / "providers.d"
    providers.mkdir()
    text = shipped("providers.d/default.conf").read_text()
    traced = text.replace("\n[filesystem]\n", "\n[filesystem]\ntrace = true\n")
    (providers / "default.conf").write_text(traced)
    more = f"log_format = json\ndebug = true\nprovider_config_dir = {providers}"
    text = CONFIG.replace("[DEFAULT]", f"[DEFAULT]\n{more}")
    made = make_installation(text, tmp_path, shared_url, bus)
    try:
        yield made
    finally:
        close(*made.daemons())


def test_a_request_is_followed_through_every_daemon_and_no_line_holds_a_secret(
    installation: Installation, tmp_path: Path
) -> None:
    start(*installation.daemons())
    user, source = installation.user(), tmp_path / "source"
    fill(source, files=3, size=1000)
    checkpoint = user.protect(user.plan(source), *installation.daemons())
    assert checkpoint["status"] == "available"

    asked = [line for line in lines(installation.api) if "/checkpoints: 202" in line["message"]]
    (request_id,) = {line["request_id"] for line in asked}
    assert asked[0]["service"] == "protectd-api"

    done = [line for worker in installation.workers for line in lines(worker)]
    about = [line for line in done if line["request_id"] == request_id]
    (task_id,) = {line["task_id"] for line in about}
    assert {line["operation"] for line in about} == {"protect"}
    assert {line["service"] for line in about} == {"protectd-worker"}
    said = [line["message"] for line in about]
    assert "attempt 1 begins" in said[0] and task_id in said[0]
    assert any(message.endswith(": available") for message in said)
    assert any(checkpoint["id"] in message for message in said)

    puts = [line for line in about if line["message"].startswith("put of data: ok")]
    by_children = {line["process"] for line in puts} - {worker.pid for worker in installation.workers}
    assert by_children

    password = restic_environment(installation.options, user.project_id)["RESTIC_PASSWORD"]
    made = manage(*installation.options, "token", "list")
    assert made and all("token" not in row for row in made)
    for daemon in installation.daemons():
        for secret in (password, user.client._token, "guest:guest"):
            assert secret not in daemon.text(), daemon.log
