"""The tour in README.rst, run as it stands there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.servers import need_program

README = Path(__file__).parents[2] / "README.rst"

SCRIPT = """#!/bin/sh
case $1 in
    start) exec {python} -m protectd.cmd.control start --port 0 ;;
    run) shift 2; exec {python} -m protectd.cmd.manage "$@" ;;
    *) exec {python} -m protectd.cmd.control "$@" ;;
esac
"""


def blocks(section: str) -> str:
    """The literal blocks of one section, one after the other."""
    text = README.read_text().partition(f"\n{section}\n")[2]
    lines, inside = [], False
    for line in text.splitlines()[1:]:
        if line and set(line) <= {"-"}:
            break
        if line and not line.startswith(" "):
            inside = line.endswith("::")
        elif inside:
            lines.append(line[4:])
    return "\n".join(lines)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory with a `bin/protectd.sh` that runs what is being tested, on a free port."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin/protectd.sh"
    script.write_text(SCRIPT.format(python=sys.executable))
    script.chmod(0o755)
    yield tmp_path
    subprocess.run([script, "stop"], env=environment(tmp_path), check=False)


def environment(place: Path) -> dict[str, str]:
    return os.environ | {"XDG_STATE_HOME": str(place / "xdg"), "RESTIC_CACHE_DIR": str(place / "cache")}


def test_the_tour_is_true(place: Path) -> None:
    for program in ("bash", "curl", "restic"):
        need_program(program)
    tour = blocks("Five minutes with curl").replace("/tmp/tour", str(place / "tour"))
    assert "bin/protectd.sh stop" in tour and "restic -r" in tour
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", tour],
        cwd=place,
        env=environment(place),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "2 snapshots" in done.stdout and "protectd has stopped" in done.stdout
    assert (place / "tour/data/link").read_text() == (place / "tour/data/today").read_text() != ""
