"""A plug-in package that somebody else wrote: built, installed, named in the configuration, used."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import servers

CHECKOUT = Path(__file__).parents[2]
SOURCE = CHECKOUT / "tests/fakes/toy_plugin"
NO_NETWORK = ("--no-index", "--no-deps", "--disable-pip-version-check", "--quiet")

PROVIDER = """\
[provider]
id = 0f1bd1f5-2f5b-4e63-9a3c-3c1f6c9a7a11
name = notes
bank = filesystem
plugin = note

[filesystem]
path = $state_dir/bank

[allowed_roots]
project = {directory}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package lies after `pip install` of its wheel."""
    for module in ("pip", "setuptools"):
        if importlib.util.find_spec(module) is None:
            servers.missing(f"{module} is not installed in this environment")
    work = tmp_path_factory.mktemp("toy")
    shutil.copytree(SOURCE, work / "source")
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(work), str(work / "source"))
    (wheel,) = work.glob("*.whl")
    pip("install", "--target", str(work / "site"), str(wheel))
    return work / "site"


def pip(command: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", command, *NO_NETWORK, *arguments], check=True)


def run(site: Path, *arguments: str) -> str:
    path = os.pathsep.join([str(site), str(CHECKOUT)])
    environment = os.environ | {"PYTHONPATH": path, "XDG_CACHE_HOME": str(site.parent / "cache")}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "providers.d").mkdir()
    (tmp_path / "providers.d/notes.conf").write_text(PROVIDER.format(directory=tmp_path))
    (tmp_path / "one").write_text("first\n")
    (tmp_path / "two").write_text("second\n")
    return tmp_path


def outcome(site: Path, directory: Path) -> Any:
    return json.loads(run(site, "-m", "tests.fakes.protect_notes", str(directory)))


def test_it_is_loaded_protects_verifies_and_restores(site: Path, directory: Path) -> None:
    assert outcome(site, directory) == {
        phase: {"one": "ok", "two": "ok"} for phase in ("saved", "checked", "restored")
    }
    assert (directory / "one.back").read_text() == "first\n"
    assert (directory / "two.back").read_text() == "second\n"


def test_it_leaves_nothing_behind(site: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = directory / "tmp"
    copies.mkdir()
    monkeypatch.setenv("TMPDIR", str(copies))
    outcome(site, directory)
    assert list(copies.glob("note-*")) == []


def test_it_is_not_loaded_where_the_list_does_not_have_it(site: Path) -> None:
    code = (
        "from protectd.common.errors import ConfigurationError\n"
        "from protectd.plugin.loader import load\n"
        "try: load('protectd.protections', 'note', ['directory'])\n"
        "except ConfigurationError as error: print(error)\n"
    )
    assert "'note' of protectd.protections: is not on the allow-list (directory)" in run(site, "-c", code)
