"""A wheel in an empty environment: everything the service needs is in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from protectd.client.http import Client
from protectd.vault.digests import NATIVE
from tests.fakes.daemons import Standalone, User, running
from tests.fakes.servers import missing
from tests.fakes.tree import differences, tree

ROOT = Path(__file__).parents[2]
PARTS = ("protectd", "alembic", "etc", "setup.cfg", "setup.py", "pyproject.toml", "README.rst")
COMMANDS = (
    "protectd",
    "protectd-api",
    "protectd-worker",
    "protectd-engine",
    "protectd-manage",
    "protectd-status",
)


def run(*command: str | Path, cwd: Path) -> str:
    """Outside of the checkout, and without anything that points to it."""
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An environment that has the wheel and what it asks for, and nothing else."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    source.mkdir()
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        missing("this Python has no pip")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", place, source, cwd=place)
    run(sys.executable, "-m", "venv", place / "venv", cwd=place)
    wheels = list(place.glob("protectd-*.whl"))
    run(place / "venv/bin/python", "-m", "pip", "install", "--quiet", wheels[0], cwd=place)
    shutil.rmtree(source)
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_tells_its_version_and_how_to_use_it(environment: Path, command: str) -> None:
    program = environment / "venv/bin" / command
    assert run(program, "--version", cwd=environment).startswith(f"{command} 0.")
    assert "--config-file" in run(program, "--help", cwd=environment)


def test_it_ships_configuration_migrations_and_units(environment: Path) -> None:
    shared = environment / "venv/share/protectd"
    for name in (
        "etc/protectd.conf",
        "etc/protectd-api-paste.ini",
        "etc/policy.yaml",
        "etc/providers.d/default.conf",
        "etc/systemd/protectd.service",
        "etc/systemd/protectd.sysusers.conf",
        "alembic/env.py",
        "alembic/script.py.mako",
        "alembic/versions/0001_initial.py",
    ):
        assert (shared / name).is_file(), name


def test_the_module_in_c_is_in_it_where_this_checkout_has_it(environment: Path) -> None:
    asked = "import protectd.vault.digests as module; print(module.NATIVE)"
    assert run(environment / "venv/bin/python", "-c", asked, cwd=environment) == f"{NATIVE}\n"


@pytest.mark.parametrize(("free", "told"), [("0", "cp311 1"), ("1", "None 0")])
def test_an_interpreter_without_a_lock_gets_a_wheel_without_the_module(free: str, told: str) -> None:
    pytest.importorskip("setuptools")
    asked = f"""
import sysconfig
sysconfig.get_config_vars()["Py_GIL_DISABLED"] = {free}
import setuptools
from distutils.core import run_setup
made = run_setup("setup.py", stop_after="config")
wheel = made.get_command_obj("bdist_wheel")
wheel.ensure_finalized()
print(wheel.py_limited_api or None, len(made.ext_modules or ()))
"""
    assert run(sys.executable, "-c", asked, cwd=ROOT).splitlines()[-1] == told


def test_its_service_protects_and_restores(environment: Path, tmp_path: Path) -> None:
    daemon = Standalone(tmp_path / "state")
    daemon.command[:3] = [str(environment / "venv/bin/protectd")]
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"precious")
    with running(daemon):
        daemon.wait()
        found = daemon.credentials()
        client = Client(found["endpoint"], found["token"], found["project_id"])
        user = User(client, found["project_id"])
        checkpoint = user.protect(user.plan(tmp_path / "source"), daemon)
        assert checkpoint["status"] == "available"
        assert user.restore(checkpoint["id"], tmp_path / "target", daemon)["status"] == "success"
        manage = environment / "venv/bin/protectd-manage"
        state = ("--state-dir", tmp_path / "state")
        assert "no differences" in run(manage, *state, "db", "check", cwd=tmp_path)
    assert differences(tree(tmp_path / "source"), tree(tmp_path / "target")) == []
