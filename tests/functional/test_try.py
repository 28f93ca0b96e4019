"""`protectd.sh try`: from one command to a vault that restic opens."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.tree import build_hard_tree


def attempt(directory: Path, temporary: Path) -> subprocess.CompletedProcess[str]:
    temporary.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "protectd.client.try_it", str(directory)],
        env=os.environ | {"TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def pasted(output: str) -> str:
    """The indented lines that it tells to paste."""
    lines = [line.strip() for line in output.splitlines() if line.startswith("  ")]
    return "\n".join(line for line in lines if line.split()[0] in ("export", "restic", "rm"))


def test_what_it_prints_is_true(tmp_path: Path, restic: str) -> None:
    build_hard_tree(tmp_path / "source")
    done = attempt(tmp_path / "source", tmp_path / "tmp")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is the same as its source" in done.stdout and "MB/s" in done.stdout
    commands = pasted(done.stdout)
    assert commands.count("restic ") == 4
    shell = subprocess.run(
        ["sh", "-ec", commands],
        env=os.environ | {"RESTIC_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        check=False,
    )
    assert shell.returncode == 0, shell.stderr
    assert b"no errors were found" in shell.stdout
    assert list((tmp_path / "tmp").glob("protectd-try-*")) == []


def test_a_tree_that_holds_the_run_s_own_files_is_no_difference(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"precious")
    done = attempt(tmp_path / "source", tmp_path / "source" / "tmp")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["missing", "file"])
def test_what_is_no_directory_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    done = attempt(tmp_path / name, tmp_path / "tmp")
    assert done.returncode == 2 and "is not a directory" in done.stderr
