"""`bin/protectd.sh`, from a checkout whose environment is the one under test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.daemons import free_port, healthy

ROOT = Path(__file__).parents[2]
LAUNCHERS = (
    "protectd",
    "protectd-api",
    "protectd-worker",
    "protectd-engine",
    "protectd-manage",
    "protectd-status",
)


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the script needs of a checkout, not installed yet."""
    shutil.copytree(ROOT / "bin", tmp_path / "bin")
    for name in ("setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def installed(checkout: Path) -> Iterator[Path]:
    """As `install` leaves it, save that the environment is this one."""
    program(checkout / ".venv/bin/python", f'exec {sys.executable} "$@"')
    program(checkout / ".venv/bin/protectd", f'exec {sys.executable} -m protectd.cmd.standalone "$@"')
    program(checkout / ".venv/bin/protectd-manage", f'exec {sys.executable} -m protectd.cmd.manage "$@"')
    stamp = subprocess.run(
        "cat setup.cfg pyproject.toml | cksum", shell=True, cwd=checkout, capture_output=True, check=True
    )
    (checkout / ".venv/.protectd-installed").write_bytes(stamp.stdout)
    yield checkout
    run(checkout, "stop")


def run(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(checkout / "bin/protectd.sh"), *arguments],
        env=os.environ | {"PROTECTD_STATE_DIR": str(checkout / "state")} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_it_starts_once_tells_where_and_frees_the_port(installed: Path) -> None:
    port = free_port()
    assert run(installed, "status").returncode == 3
    assert run(installed, "start", "--port", str(port)).returncode == 0
    assert healthy(f"http://127.0.0.1:{port}")
    again = run(installed, "start")
    assert again.returncode == 0 and "already running" in again.stdout
    status = run(installed, "status")
    assert status.returncode == 0 and f":{port}" in status.stdout
    assert run(installed, "stop").returncode == 0
    assert not healthy(f"http://127.0.0.1:{port}")
    assert run(installed, "start", "--port", str(port)).returncode == 0
    assert healthy(f"http://127.0.0.1:{port}")


def test_a_start_that_fails_says_why(installed: Path) -> None:
    done = run(installed, "start", "--port", "99999")
    assert done.returncode == 1 and "--port" in done.stderr and "Traceback" not in done.stderr


def test_it_runs_an_installed_command(installed: Path) -> None:
    assert "POST" in run(installed, "run", "protectd-manage", "routes").stdout
    assert run(installed, "run", "rm").returncode == 1


@pytest.mark.parametrize("name", LAUNCHERS)
def test_each_command_has_a_launcher(checkout: Path, name: str) -> None:
    assert os.access(checkout / "bin" / name, os.X_OK)


def test_a_python_without_venv_is_told_what_to_install(checkout: Path) -> None:
    bare = program(
        checkout / "python-bare",
        f'case "$2" in *ensurepip*) exit 1 ;; esac\nexec {sys.executable} "$@"',
    )
    done = run(checkout, "install", PROTECTD_PYTHON=str(bare))
    assert done.returncode == 1 and "apt-get install python3-venv" in done.stderr


def test_an_old_python_is_told_what_to_install(checkout: Path) -> None:
    old = program(checkout / "python-old", "exit 1")
    done = run(checkout, "try", PROTECTD_PYTHON=str(old))
    assert done.returncode == 1 and "apt-get install python3 python3-venv" in done.stderr


def test_it_explains_itself(checkout: Path) -> None:
    done = run(checkout, "help")
    assert done.returncode == 0
    for command in ("install", "try", "test", "start", "stop", "status", "debug"):
        assert f"\n  {command}" in done.stdout
    assert run(checkout, "unknown").returncode == 2
