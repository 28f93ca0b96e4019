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
    came = outcome(site, directory)
    assert came.pop("tags") == [
        ["protectd:checkpoint=checkpoint", f"protectd:resource={name}", "protectd:attempt=run"]
        for name in ("one", "two")
    ], "by these what an attempt leaves is found"
    assert came == {phase: {"one": "ok", "two": "ok"} for phase in ("saved", "checked", "restored")}
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


# --- things that hang below each other ---


@pytest.fixture(scope="module")
def estate(site: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the API says of an application and of what hangs below it."""
    directory = tmp_path_factory.mktemp("estate")
    return dict(json.loads(run(site, "-m", "tests.fakes.protect_estate", str(directory))))


def test_a_type_tells_what_may_hang_below_it_whichever_plug_in_says_so(estate: dict[str, Any]) -> None:
    assert set(estate["types"]) == {"application", "host", "database_server", "database", "directory"}
    assert estate["dependent_types"] == {
        "application": ["host"],
        "host": ["database_server", "directory"],
        "database_server": ["database"],
        "database": [],
        "directory": [],
    }


def test_an_instance_is_found_without_being_registered(estate: dict[str, Any]) -> None:
    (found,) = estate["found"]
    assert (found["name"], found["type"]) == ("shop", "application")
    assert [each["name"] for each in found["dependent_resources"]] == ["web", "db"]


def test_an_instance_shows_its_children(estate: dict[str, Any]) -> None:
    assert [each["name"] for each in estate["shown"]["dependent_resources"]] == ["web", "db"]
    assert "unavailable_types" not in estate["shown"]


def test_protecting_the_parent_protects_all_that_hangs_below_it(estate: dict[str, Any]) -> None:
    checkpoint = estate["checkpoint"]
    assert (checkpoint["status"], checkpoint["error"]) == ("available", None)
    saved = {(each["type"], each["name"]): each["status"] for each in checkpoint["resources"]}
    assert saved == {
        ("application", "shop"): "available",
        ("host", "web"): "available",
        ("host", "db"): "available",
        ("database_server", "pg1"): "available",
        ("database", "orders"): "available",
        ("database", "customers"): "available",
        ("directory", "www"): "available",
    }


def test_the_graph_is_kept_with_the_checkpoint_children_first(estate: dict[str, Any]) -> None:
    nodes, edges = json.loads(estate["checkpoint"]["resource_graph"])
    names = {key: node[2] for key, node in nodes.items()}
    below = {names[parent]: {names[child] for child in children} for parent, children in edges}
    assert below == {
        "shop": {"web", "db"},
        "web": {"www"},
        "db": {"pg1"},
        "pg1": {"orders", "customers"},
    }
    assert list(names.values())[-1] == "shop"


def test_all_of_it_is_verified_and_restored(estate: dict[str, Any]) -> None:
    for run_of_it in (estate["verification"], estate["restore"]):
        assert (run_of_it["status"], run_of_it["error"]) == ("success", None)
        assert set(run_of_it["resources_status"].values()) == {"available"}
        assert len(run_of_it["resources_status"]) == 7
    assert estate["restored"] == "one\n"
