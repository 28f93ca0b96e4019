"""The commands themselves: what they say, what they refuse, and how they are configured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

from protectd.conf.places import shipped
from tests.fakes.daemons import Daemon, Standalone, free_port, healthy, manage, running, wait_for

pytest_plugins = ["tests.fakes.databases"]

MODULES = {
    "standalone": "protectd",
    "api": "protectd-api",
    "worker": "protectd-worker",
    "engine": "protectd-engine",
    "manage": "protectd-manage",
    "status": "protectd-status",
}


def run(module: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"protectd.cmd.{module}", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env=os.environ | environment
    )


def refused(module: str, *arguments: str | Path) -> str:
    """What a command says when it ends with an error: one sentence, no traceback."""
    done = run(module, *arguments)
    assert done.returncode in (1, 2), done
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def config(place: Path, text: str, url: str) -> Path:
    """A configuration whose database is ready.

    :param text: more of it, that goes on with the group DEFAULT.
    :param url: of a database without tables.
    """
    file = place / "protectd.conf"
    first = f"[DEFAULT]\nstate_dir = {place}/state\ntransport_url = fake://\n"
    file.write_text(f"{first}{text}\n[database]\nconnection = {url}\n")
    file.chmod(0o600)
    (place / "state").mkdir(mode=0o700, exist_ok=True)
    for command in (["secrets", "create-master-key"], ["db", "upgrade"]):
        assert run("manage", "--config-file", file, *command).returncode == 0
    return file


def get(url: str) -> tuple[int, bytes, dict[str, str]]:
    class NoRaise(urllib.request.HTTPErrorProcessor):
        def http_response(self, request: object, response: object) -> object:
            return response

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRaise)
    with opener.open(url, timeout=10) as answer:
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return answer.status, answer.read(), headers


@pytest.mark.parametrize("module", MODULES)
def test_each_tells_how_to_use_it(module: str) -> None:
    done = run(module, "--help")
    assert done.returncode == 0
    for option in ("--config-file", "--config-dir", "--version"):
        assert option in done.stdout
    assert done.stdout.startswith(f"usage: {MODULES[module]}")


@pytest.mark.parametrize("module", ["api", "worker", "engine"])
def test_a_daemon_does_not_start_on_a_database_without_tables(module: str, tmp_path: Path) -> None:
    assert "protectd-manage db upgrade" in refused(module, "--state-dir", tmp_path)


def test_a_worker_needs_the_master_key(tmp_path: Path, chosen_url: str) -> None:
    file = config(tmp_path, "", chosen_url)
    (tmp_path / "state/master.key").unlink()
    assert "master key" in refused("worker", "--config-file", file)


@pytest.mark.parametrize("module", ["api", "worker", "engine", "standalone", "manage"])
def test_a_broken_configuration_is_named(module: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.conf"
    file.write_text("[api]\nworkers = many\n")
    rest = ["routes"] if module == "manage" else []
    assert "workers" in refused(module, "--config-file", file, *rest)


def test_noauth_binds_loopback_only(tmp_path: Path) -> None:
    file = tmp_path / "noauth.conf"
    file.write_text("[DEFAULT]\nauth_strategy = noauth\n")
    options = ("--state-dir", tmp_path / "state", "--config-file", file, "--port", "0")
    assert "loopback" in refused("standalone", *options, "--host", "0.0.0.0")
    daemon = Standalone(tmp_path / "state", "--config-file", str(file))
    with running(daemon):
        user = daemon.wait()
        assert user.client.get("/plans")["plans"] == []


def test_an_address_in_use_is_told(tmp_path: Path) -> None:
    daemon = Standalone(tmp_path / "one")
    with running(daemon):
        daemon.wait()
        port = daemon.credentials()["endpoint"].rpartition(":")[2]
        assert port in refused("standalone", "--state-dir", tmp_path / "two", "--port", port)


def test_an_ipv6_address_stands_in_brackets(tmp_path: Path) -> None:
    daemon = Standalone(tmp_path / "state", "--host", "::1")
    with running(daemon):
        daemon.wait()
        assert daemon.credentials()["endpoint"].startswith("http://[::1]:")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("protectd.api.middleware.auth:filter_factory", "protectd.nowhere:factory"), "[filter:auth]"),
        (("[pipeline:token]", "[pipeline:other]"), "[pipeline:token]"),
        (("body_limit auth", "body_limit missing auth"), "[filter:missing]"),
        (("[app:main]", "not an option"), "paste.ini"),
    ],
)
def test_a_broken_paste_file_is_told_by_file_and_section(
    tmp_path: Path, change: tuple[str, str], told: str
) -> None:
    paste = tmp_path / "paste.ini"
    paste.write_text(shipped("protectd-api-paste.ini").read_text().replace(*change))
    file = tmp_path / "protectd.conf"
    file.write_text(f"[api]\npaste_config = {paste}\n")
    said = refused("standalone", "--state-dir", tmp_path / "state", "--config-file", file, "--port", "0")
    assert str(paste) in said and told in said


def test_a_filter_is_added_in_the_paste_file_alone(tmp_path: Path) -> None:
    paste = tmp_path / "paste.ini"
    text = (
        shipped("protectd-api-paste.ini")
        .read_text()
        .replace("= request_id observe", "= marker request_id observe")
    )
    paste.write_text(
        f"{text}\n[filter:marker]\npaste.filter_factory = tests.fakes.marker:filter_factory\nvalue = seen\n"
    )
    file = tmp_path / "protectd.conf"
    file.write_text(f"[api]\npaste_config = {paste}\n")
    daemon = Standalone(tmp_path / "state", "--config-file", str(file))
    daemon.root_on_path()
    with running(daemon):
        daemon.wait()
        assert get(f"{daemon.credentials()['endpoint']}/healthcheck")[2]["x-marker"] == "seen"


def test_gunicorn_and_the_own_server_answer_alike_and_from_as_many_processes_as_asked(
    tmp_path: Path, chosen_url: str
) -> None:
    port = free_port()
    file = config(tmp_path, f"[api]\nbind_port = {port}\nworkers = 4\n", chosen_url)
    api = Daemon("api", ["--config-file", str(file)], tmp_path / "api.log")
    with running(api):
        wait_for("the API", lambda: healthy(f"http://127.0.0.1:{port}"), 60, api)
        wait_for("4 processes", lambda: len(psutil.Process(api.pid).children()) == 4, 30, api)
        own = get(f"http://127.0.0.1:{port}/")
    command = ["-m", "gunicorn", "-b", f"127.0.0.1:{port}", "protectd.wsgi:application"]
    other = Daemon("api", [], tmp_path / "gunicorn.log")
    other.command[1:] = command
    other.environment["PROTECTD_CONFIG_FILE"] = str(file)
    with running(other):
        wait_for("gunicorn", lambda: healthy(f"http://127.0.0.1:{port}"), 60, other)
        assert get(f"http://127.0.0.1:{port}/")[:2] == own[:2] == (300, own[1])


def test_what_is_no_http_gets_the_fault_body_too(tmp_path: Path) -> None:
    daemon = Standalone(tmp_path / "state")
    with running(daemon):
        daemon.wait()
        status, body, headers = get(f"{daemon.credentials()['endpoint']}/%00?" + "x" * 300_000)
        assert 400 <= status < 500 and headers["content-type"] == "application/json"
        assert next(iter(json.loads(body).values()))["code"] == status


def test_tokens_are_made_listed_and_revoked(tmp_path: Path, chosen_url: str) -> None:
    options = ("--config-file", str(config(tmp_path, "", chosen_url)))
    made = manage(*options, "token", "create", "--project", "p1", "--role", "member", "--ttl", "60")
    assert made["token"] and made["expires_at"] and made["roles"] == ["member"]
    listed = manage(*options, "token", "list")
    assert [row["id"] for row in listed] == [made["id"]] and "token" not in listed[0]
    assert manage(*options, "token", "revoke", made["id"])["live"] is False
    assert "not there" in refused("manage", *options, "token", "revoke", "unknown")


@pytest.mark.parametrize(
    "project", ["", "a/b", "..", "secrets", "openapi.json", "key-manager.json", "x" * 65]
)
def test_a_token_s_project_can_stand_in_a_path(tmp_path: Path, project: str) -> None:
    done = run("manage", "--state-dir", tmp_path, "token", "create", "--project", project)
    assert done.returncode == 2 and "--project" in done.stderr


@pytest.mark.parametrize(
    "options",
    [
        ("create", "--project", "p", "--name", "n" * 256),
        ("create", "--project", "p", "--name", "two\nlines"),
        ("create", "--project", "p", "--user", ""),
        ("create", "--project", "p", "--role", " "),
        ("create", "--project", "p", "--ttl", "nan"),
        ("list", "--limit", "-1"),
        ("list", "--limit", "0"),
    ],
)
def test_what_no_database_would_keep_is_refused_by_option(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = run("manage", "--state-dir", tmp_path, "token", *options)
    assert done.returncode == 2 and f"argument {options[-2]}" in done.stderr


def test_a_revision_that_is_not_there_is_told_in_a_sentence(tmp_path: Path, chosen_url: str) -> None:
    options = ("--config-file", config(tmp_path, "", chosen_url))
    for action in ("upgrade", "downgrade"):
        assert "'unknown'" in refused("manage", *options, "db", action, "unknown")


def test_a_mistyped_state_directory_is_not_made(tmp_path: Path) -> None:
    said = refused("manage", "--state-dir", tmp_path / "mistyped", "token", "list")
    assert "mistyped" in said and not (tmp_path / "mistyped").exists()


def test_the_schema_goes_up_and_down_and_is_compared(tmp_path: Path, chosen_url: str) -> None:
    options = ("--config-file", config(tmp_path, "", chosen_url))
    assert run("manage", *options, "db", "check").stdout.strip() == "no differences"
    assert run("manage", *options, "db", "downgrade", "base").returncode == 0
    assert run("manage", *options, "db", "check").returncode == 1
    assert run("manage", *options, "db", "upgrade").returncode == 0
    assert run("manage", *options, "db", "current").stdout.strip() != "nothing"


def test_routes_and_providers_are_printed() -> None:
    printed = run("manage", "--state-dir", "/nowhere", "routes").stdout
    assert "POST   /v1/{project_id}/plans" in printed
    assert [row["name"] for row in manage("--state-dir", "/nowhere", "provider", "list")] == ["default"]
